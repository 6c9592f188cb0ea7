import pytest

from dynrefer.errors import InputError


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("the box is empty", "The box is empty."),
        ("The box is empty.", "The box is empty."),
        ("photo.jpg is a folder", "photo.jpg is a folder."),
        ("which one?", "Which one?"),
    ],
)
def test_the_message_reads_as_a_sentence(given: str, shown: str) -> None:
    assert str(InputError(given)) == shown
