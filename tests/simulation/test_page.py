"""docs/reliability.md says what the last campaign found."""

import json

from tests.simulation.page import PAGE, REPORT, page


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(json.loads(REPORT.read_text(encoding="utf-8")))
