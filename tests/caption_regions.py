"""A small annotated bird for the tests of captions."""


def bird_region(bird="jay", colours=("red",)):
    """Return an annotated region, as JSON data: "a jay with a red wing"."""
    return {
        "objects": [
            {"object_id": 1, "name": bird, "attributes": [], "x": 0, "y": 0, "w": 40, "h": 40},
            {
                "object_id": 2,
                "name": "wing",
                "attributes": list(colours),
                "x": 4,
                "y": 4,
                "w": 8,
                "h": 8,
            },
        ],
        "relationships": [
            {"relationship_id": 1, "subject_id": 1, "object_id": 2, "name": "with"},
        ],
        "phrase": f"a {bird} with a {colours[0]} wing",
    }
