"""What answers a question in text: a language model of transformers, or a fixed list.

    generator = load_text_generator("my_llm", device=device, max_words=40, results=results)
    generator.answers(Ask("a jay", "Describe a photo of a jay in one sentence."), 3, seed=0)

No code of a folder or of the Hugging Face Hub is run, and weights are only read from safetensors.
The answers of a language model are kept in the results: asking takes long.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from msgspec import Struct

from birds.prompts import SENTENCES
from companions.concepts.pretrained import INSTALL, Source, digest
from companions.concepts.records import read_typed, write_typed
from scoring.hf_networks import no_bars
from scoring.loaded import brief, library, quietly
from utils import UserError

BIRDS = "birds"  # the list of the bundled world
AT_ONCE = 16  # answers to a question, at most


@dataclass(frozen=True)
class Ask:
    """A question to a text generator, and what it is about ("a jay with a crest")."""

    subject: str
    question: str


class TextGenerator(Protocol):
    """What answers questions."""

    def answers(self, ask: Ask, count: int, *, seed: int) -> list[str]:
        """Return some answers to a question; the same seed gives the same ones."""


@dataclass(frozen=True)
class FixedSentences:
    """No language model: a list of sentences about a subject, in a random order."""

    def answers(self, ask: Ask, count: int, *, seed: int) -> list[str]:
        """Return sentences about a subject: all of them before any comes again.

        Args:
            ask: only its subject counts.
            count: answers wanted.
            seed: of the order, which differs between questions.
        """
        rng = np.random.default_rng([seed, int(digest(ask), 16)])
        order = rng.permutation(len(SENTENCES))
        return [SENTENCES[order[i % len(order)]].format(ask.subject) for i in range(count)]


class AnswersKey(Struct):
    """What must agree for kept answers to stand."""

    generator: str
    question: str
    count: int
    seed: int
    max_words: int


class KeptAnswers(Struct):
    """answers/<digest>.json: the answers of a language model to one question."""

    key: AnswersKey
    answers: list[str]


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A causal language model of transformers.

    Attributes:
        identity: which one it is.
        option: the option that names it, with its value, for errors.
        tokenizer: of transformers.
        module: the model, in eval mode.
        max_words: longest answer, in tokens.
        kept: folder where answers are kept.
    """

    identity: str
    option: str
    tokenizer: Any
    module: Any
    max_words: int
    kept: Path

    def answers(self, ask: Ask, count: int, *, seed: int) -> list[str]:
        """Return answers to a question, sampled; those of an earlier run where it asked the same.

        Args:
            ask: only its question counts.
            count: answers wanted.
            seed: of the sampling; every question has a stream of its own.
        """
        key = AnswersKey(self.identity, ask.question, count, seed=seed, max_words=self.max_words)
        path = self.kept / f"{digest(key)}.json"
        kept = read_typed(path, KeptAnswers)
        if kept and kept.key == key:
            return kept.answers
        found: list[str] = []
        for start in range(0, count, AT_ONCE):
            at_once = min(AT_ONCE, count - start)
            found += self._sampled(ask.question, at_once, seed=int(digest((key, start)), 16))
        write_typed(path, KeptAnswers(key, found))
        return found

    @torch.inference_mode()
    def _sampled(self, question: str, count: int, seed: int) -> list[str]:
        """Return some answers of one forward pass per token."""
        device = self.module.device
        inputs = self._inputs(question).to(device)
        asked = inputs["input_ids"].shape[1]  # (1, tokens)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            try:
                tokens = self.module.generate(  # (count, asked + answered)
                    **inputs,
                    do_sample=True,
                    num_return_sequences=count,
                    max_new_tokens=self.max_words,
                    pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id or 0,
                )
            except Exception as error:  # a question too long for it, probabilities of NaN, memory
                raise UserError(f"{self.option}: cannot answer ({brief(error)})") from error
        return self.tokenizer.batch_decode(tokens[:, asked:], skip_special_tokens=True)

    def _inputs(self, question: str) -> Any:
        if getattr(self.tokenizer, "chat_template", None):
            chat = [{"role": "user", "content": question}]
            return self.tokenizer.apply_chat_template(
                chat, add_generation_prompt=True, return_dict=True, return_tensors="pt"
            )
        return self.tokenizer(f"{question}\n", return_tensors="pt", return_token_type_ids=False)


def load_text_generator(
    name: str, *, device: torch.device, max_words: int, results: Path
) -> TextGenerator:
    """Return a text generator.

    Args:
        name: "birds" for the fixed sentences; a folder of transformers, or a name on the Hub.
        device: what a language model runs on.
        max_words: longest answer, in tokens.
        results: folder where a language model's answers are kept.

    Raises:
        UserError: transformers is not installed, or there is no such language model.
    """
    if name == BIRDS:
        return FixedSentences()
    source = Source(name, option=f"--llm {name}")
    transformers = library("transformers", option=source.option, install=INSTALL)
    with quietly("transformers", "huggingface_hub"), no_bars():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, **source.arguments)
            module, report = transformers.AutoModelForCausalLM.from_pretrained(
                name, output_loading_info=True, **source.arguments
            )
        except Exception as error:  # no such name, no network, no safetensors, code of its own
            raise UserError(
                f"{source.option}: {source.where}cannot load a language model ({brief(error)})"
            ) from error
    for key in sorted(report["missing_keys"]):  # the library would fill them with random numbers
        raise UserError(
            f"{source.option}: its weights are not those of the model: {key} is missing"
        )
    return LanguageModel(
        identity=source.identity(),
        option=source.option,
        tokenizer=tokenizer,
        module=module.eval().to(device),
        max_words=max_words,
        kept=results / "answers",
    )
