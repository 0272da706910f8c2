import json
import logging

from planogram.serve.logs import MAX_TRACE_CHARS, JsonFormatter


def line(message, **extra):
    record = logging.LogRecord("planogram.x", logging.INFO, __file__, 1, message, (), extra.pop("exc_info", None))
    record.__dict__.update(extra)
    return JsonFormatter().format(record)


def test_a_record_is_one_line_of_ascii_json():
    text = line('a\nb "c" \u2028 \ud800', request_id="r\n1", status=200)
    assert "\n" not in text and text.isascii()
    assert json.loads(text)["request_id"] == "r\n1"


def test_only_known_extras_are_written():
    assert "password" not in line("m", password="hunter2")


def test_a_traceback_is_bounded():
    text = line("m", exc_info=(ValueError, ValueError("x" * 100_000), None))
    assert len(json.loads(text)["error"]) == MAX_TRACE_CHARS
