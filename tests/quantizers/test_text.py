"""The texts that every machine has."""

from __future__ import annotations

from quantizers.quality.text import HELD_OUT, held_out_text, training_passages


def test_training_and_held_out_text_are_apart() -> None:
    passages = training_passages()
    assert len(passages) > 3000
    assert not {passage.name.partition(".")[0] for passage in passages} & HELD_OUT
    assert len(held_out_text()) > 40_000
    known = {passage.text for passage in passages}
    held = held_out_text().split("\n\n")
    assert sum(part in known for part in held) < len(held) / 50


def test_the_texts_are_the_same_every_time() -> None:
    assert training_passages() == training_passages()
