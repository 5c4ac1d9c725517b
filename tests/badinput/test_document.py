"""The page of messages says what the tables say."""

from tests.badinput.document import PAGE, page
from tests.badinput.members import TROUBLES
from tests.badinput.rejected import REJECTED
from tests.badinput.reported import REPORTED
from tests.badinput.running import RUNNING


def test_the_page_is_made_of_the_tables() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.badinput.document"


def test_no_two_rows_are_the_same_and_every_one_has_its_message() -> None:
    for situations in ([row.situation for row in table] for table in (REPORTED, RUNNING, TROUBLES)):
        assert len(set(situations)) == len(situations)
    assert all(message for row in REJECTED for message in row.messages)
    assert all(message for table in (REPORTED, RUNNING, TROUBLES) for row in table for *_, message in row.says)
