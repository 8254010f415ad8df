import logging

from sorairo.training.progress import Progress, View


def news(step: int, seconds: float, parts: dict[str, float], steps: int | None = None) -> Progress:
    return Progress(
        step=step,
        steps=steps,
        loss=1.0,
        parts=parts,
        lr=1e-3,
        norm=0.5,
        seconds=seconds,
        clips=4,
        tokens=40,
        flops=1e12,
        left=3661,
    )


def test_plain_lines_leave_the_compilation_out_of_the_rates(caplog):
    caplog.set_level(logging.INFO)
    with View(plain_every=0.0) as view:
        view(news(0, 100.0, {"a": 1.0}))
        for step in range(1, 6):
            view(news(step, 2.0, {"a": 1.0, "b": 3.0} if step == 5 else {"a": 1.0}))
    assert "s/step 2.00" in caplog.messages[-1] and "clips/s 2.0" in caplog.messages[-1]
    assert "b 3.0000" in caplog.messages[-1] and "left 1:01:01" in caplog.messages[-1]


def test_what_is_left_goes_by_the_pace_of_late_and_by_the_time_that_was_given(caplog):
    caplog.set_level(logging.INFO)
    with View(plain_every=0.0) as view:
        for step in range(6):
            view(news(step, 100.0 if step == 0 else 2.0, {}, steps=10))
        assert "left 0:00:08" in caplog.messages[-1]
        view(news(6, 2.0, {}, steps=10_000))
        assert "left 1:01:01" in caplog.messages[-1]
