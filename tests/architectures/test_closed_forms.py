"""The closed forms give their test vectors; the statistics give theirs; the metrics are as defined."""

import math

import pytest

from benchmarks.architectures import closed_forms as c
from benchmarks.architectures import metrics as m
from benchmarks.architectures import statistics as s


def test_f1_vectors() -> None:
    short, long = c.f1_retry(0.2, 0.8, 0.05, 2), c.f1_retry(0.35, 0.5, 0.1, 3)

    assert [round(v, 5) for v in (short.wrong, short.right, short.exhausted, short.attempts)] == [
        0.0496,
        0.9424,
        0.008,
        1.24,
    ]
    assert round(short.accept_last_wrong, 5) == 0.056
    assert [round(v, 5) for v in (long.wrong, long.right, long.exhausted)] == [0.2295, 0.76718, 0.00332]
    assert [round(v, 5) for v in (long.attempts, long.accept_last_wrong)] == [1.31142, 0.23192]


def test_f2_to_f6_vectors() -> None:
    assert round(c.f2_accepted_wrong(0.3, [(0.6, 0.1), (0.5, 0.05)]), 4) == 0.0911
    assert [round(c.f3_majority(0.2, n), 4) for n in (3, 5, 9)] == [0.1040, 0.0579, 0.0196]
    assert [round(c.f3_majority(0.2, n, 0.3), 4) for n in (3, 5, 9)] == [0.1638, 0.1503, 0.1390]
    assert round(c.f3_floor(0.2, 0.3), 4) == 0.1211
    vectors = [(0.4, 3, 1, 0.3520), (0.4, 3, 4, 0.2800), (0.4, 5, 4, 0.1648), (0.6, 5, 4, 0.4509)]
    assert [round(c.f4_plurality(p, n, w), 4) for p, n, w, _ in vectors] == [value for *_, value in vectors]
    assert c.f5_concat(1e-9, 3, 1) / 1e-9 == pytest.approx(3)
    assert [round(v, 5) for v in c.f6_ahead(0.2, 2)] == [0.94118, 2.94118]
    assert [round(v, 5) for v in c.f6_ahead(0.35, 3)] == [0.86496, 7.29921]
    assert c.f6_ahead(0.01, c.f6_lead_needed(0.01, 1_000_000, 0.99))[0] ** 1_000_000 >= 0.99


def test_f7_to_f11_vectors() -> None:
    assert round(c.f7_cascade(0.227, 1_000), 1) == 4.4
    assert [round(1 / d, 1) for d in (0.058, 0.128, 0.196)] == [17.2, 7.8, 5.1]
    assert round(c.f8_guarded(0.1, 0.5, 8), 5) == 0.09076
    assert round(c.f8_guarded(0.05, 0.227, 20), 5) == 0.14519
    assert c.f9_all_miss(0.2, 0.3, 5) == pytest.approx(2.30e-2, rel=3e-3)
    assert c.f9_all_miss(0.2, 0.3, 10) == pytest.approx(7.3e-3, rel=1e-2)
    assert c.f9_all_miss(0.2, 0.0, 5) == pytest.approx(3.2e-4)
    assert round(c.f11_blind(0.3, 0.8, 0.05, 3, 0.25), 4) == 0.1394
    assert round(c.f1_retry(0.3, 0.6, 0.05, 3).wrong, 4) == 0.1525
    assert round(c.f11_hard(0.3, 0.3, 0.8, 0.05, 3), 4) == 0.1065
    assert round(c.f1_retry(0.3, 0.8, 0.05, 3).wrong, 4) == 0.0823


def test_f14_vectors() -> None:
    e = c.errors_needed(0.1, 0.8, 0.05, 2)
    both = c.errors_needed(c.f3_majority(0.1, 3), 0.8, 0.05, 2)
    single = c.f14_task(0.1, 6)

    assert round(single, 4) == 0.4686
    assert round(c.f5_concat(0.1, 3, 6), 4) == 0.8499
    assert round(c.f3_majority(single, 3), 4) == 0.4529
    assert round(c.f14_task(c.f3_majority(0.1, 3), 6), 4) == 0.1567
    assert round(c.f14_task(e, 6), 4) == 0.1397
    assert round(c.f14_task(both, 6), 4) == 0.0377
    assert round(c.f14_task(e, 6, 0.018), 4) == 0.2285
    assert round(c.f14_task(both, 6, 0.018), 4) == 0.1371
    one = c.f1_retry(0.534, 0.5, 0.1, 2)
    assert round(c.f3_majority(0.534, 3), 4) == 0.5509
    assert round(one.wrong + one.exhausted, 4) == 0.4078


def test_exact_intervals() -> None:
    # 4 of 10: Clopper-Pearson 0.1216 to 0.7376, Wilson 0.1682 to 0.6873 (Brown, Cai, DasGupta 2001, tables).
    assert [round(v, 4) for v in s.clopper_pearson(4, 10)] == [0.1216, 0.7376]
    assert [round(v, 4) for v in s.wilson(4, 10)] == [0.1682, 0.6873]
    assert s.clopper_pearson(0, 10)[0] == 0.0
    assert s.clopper_pearson(0, 10)[1] == pytest.approx(1 - 0.025**0.1)
    assert s.clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1.0))
    assert s.wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="11 successes of 10"):
        s.wilson(11, 10)


@pytest.mark.parametrize(("b", "c_", "p"), [(0, 0, 1.0), (1, 9, 0.021484375), (5, 5, 1.0), (0, 6, 0.03125)])
def test_mcnemar_is_the_exact_sign_test(b: int, c_: int, p: float) -> None:
    assert s.mcnemar(b, c_) == p
    assert s.mcnemar(c_, b) == p


def test_mcnemar_survives_large_counts() -> None:
    assert 0.0 < s.mcnemar(1_000, 1_200) < 1e-4


def test_holm_keeps_the_order_and_never_falls_below_a_smaller_one() -> None:
    assert s.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_an_incomplete_beta_function_is_a_binomial_tail() -> None:
    tail = math.fsum(math.comb(12, k) * 0.3**k * 0.7 ** (12 - k) for k in range(5, 13))
    assert s.beta_cdf(0.3, 5, 8) == pytest.approx(tail, abs=1e-14)


def test_a_cascade_counts_origins_and_what_they_spoil() -> None:
    needs = {"a": (), "b": ("a",), "c": ("b",), "d": ()}
    assert m.cascade({"a": False, "b": False, "c": True, "d": False}, needs) == (2, 3)


def test_amplification_has_no_value_where_the_single_agent_never_fails() -> None:
    assert m.amplification(0.5, 1.0) is None
    assert m.amplification(0.4, 0.4) == 1.0


def test_information_gain_is_finite_at_the_ends() -> None:
    assert m.information_gain(5, 10, 10) == pytest.approx(0.5 * math.log2(0.25 / (10.5 / 11 * 0.5 / 11)))
    assert m.information_gain(10, 10, 10) == 0.0


def test_information_gain_is_in_bits_of_which_a_quarter_of_the_variance_is_one() -> None:
    q, samples = 0.5, 1_000_000
    after = round(samples * (0.5 + math.sqrt(0.25 - 0.25 * q * (1 - q))))  # q (1 - q) is a quarter of 1/4

    assert m.information_gain(samples // 2, after, samples) == pytest.approx(1.0, abs=1e-5)


def test_redundancy_both_ways() -> None:
    assert m.redundancy_cosine(["alike", "alike"]) == pytest.approx(1.0)
    assert m.redundancy_cosine(["only one"]) is None
    assert m.redundancy_shared({"a": 2, "b": 1}) == 0.5
    assert m.overlap({"a": ["1"], "b": ["2", "2"], "c": ["3", "4"], "d": ["5"]}) == {
        "unique": 0.5,
        "shared": 0.25,
        "contradictory": 0.25,
    }


def test_the_critical_path_of_a_diamond() -> None:
    needs = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert m.longest_path(needs, {"a": 1.0, "b": 5.0, "c": 2.0, "d": 1.0}) == 7.0
    assert m.decomposability(needs) == pytest.approx(4 / 3)
    with pytest.raises(ValueError, match="cycle"):
        m.longest_path({"a": ("b",), "b": ("a",)}, {})


def test_domain_complexity_and_success_per_token() -> None:
    assert m.complexity([0.5, 0.5], 0.5) == pytest.approx((0.5 + 0.0 + 0.5) / 3)
    assert round(m.tokens_per_success(0.466, 6_883), 1) == 67.7
