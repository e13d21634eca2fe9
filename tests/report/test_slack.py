from __future__ import annotations

import json

from qarunner.report import slack
from tests.report.large import large_summary
from tests.report.test_markdown import summary_of


def test_a_message_fits_and_mentions_nobody() -> None:
    message = json.loads(slack.render(large_summary(2000)))
    assert len(message["blocks"]) <= 50
    assert message["text"] == "story: failed"
    first = message["blocks"][2]["text"]
    assert first == {
        "type": "mrkdwn",
        "text": "*<https://vendor.test/runs/3|area-3/flow-00003>* (failed) at keyed\nButton 3 not found after 30 s",
        "verbatim": True,
    }
    assert message["blocks"][-2]["text"]["text"] == "and 34 more"


def test_somebody_elses_text_is_escaped() -> None:
    assert slack._escaped("<!channel> & <@U1>\nx") == "&lt;!channel&gt; &amp; &lt;@U1&gt; x"
    message = json.loads(slack.render(summary_of("odd-characters")))
    texts = [block["text"]["text"] for block in message["blocks"][1:-1]]
    assert texts
    assert not any("<b>" in text for text in [message["text"], *texts])
