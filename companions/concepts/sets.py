"""The debug sets of SA3: those that are selected, and those that are generated."""

SELECTED = {"random": "S-Random", "similarity": "S-Similarity", "active": "S-Active"}
GENERATED = {"tg": "G-TG", "llm": "G-LLM", "llm-prompt": "G-LLM-prompt", "ours": "ours"}
SET_NAMES = SELECTED | GENERATED
