"""What one client may have of the loop's time."""

from streamd.live.fairness import BURST, BURST_S, Burst


def test_messages_count_together_and_singly_and_only_for_a_while():
    burst = Burst()
    assert not burst.is_over(100.0, BURST - 1)
    assert not burst.is_over(100.0 + BURST_S / 2)
    assert burst.is_over(100.0 + BURST_S / 2)
    assert not burst.is_over(100.1 + BURST_S)
