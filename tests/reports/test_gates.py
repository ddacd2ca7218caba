import pytest

from synthgen.errors import SynthgenError
from synthgen.reports.gates import loss, read_gates
from synthgen.reports.report import Figure, Report


@pytest.fixture
def report():
    return Report(
        "people",
        figures=[
            Figure("Detector AUC", 0.7, "fidelity", "closer to 0.5", "", floor=0.48),
            Figure("Shape error", 0.02, "fidelity", "lower", "", floor=0.015),
            Figure("C2ST", float("nan"), "fidelity", "higher", ""),
            Figure("Beside nothing", 0.2, "fidelity", "lower", "", floor=float("nan")),
            Figure("Trend error", 0.2, "fidelity", "lower", ""),
            Figure("TSTR AUC", 0.85, "utility", "higher", "", reference=0.9, reference_name="TRTR"),
            Figure("Copied rows", 0.0, "privacy", "no more than real", "", floor=0.01),
        ],
    )


@pytest.mark.parametrize(
    ("gates", "failed"),
    [
        ({"fidelity": {"Detector AUC": {"max": 0.75}}}, []),
        ({"fidelity": {"Detector AUC": {"max": 0.65}}}, ["fidelity: Detector AUC is 0.7, over 0.65"]),
        ({"utility": {"TSTR AUC": {"min": 0.86}}}, ["utility: TSTR AUC is 0.85, under 0.86"]),
        # 0.2 from one half, where the floor is 0.02 from it
        ({"fidelity": {"Detector AUC": {"beside": 0.2}}}, []),
        (
            {"fidelity": {"Detector AUC": {"beside": 0.1}}},
            ["fidelity: Detector AUC is 0.7 beside 0.48 of real data, worse by 0.18, over 0.1"],
        ),
        ({"utility": {"TSTR AUC": {"beside": 0.06}}}, []),
        (
            {"utility": {"TSTR AUC": {"beside": 0.04}}},
            ["utility: TSTR AUC is 0.85 beside 0.9 of real data, worse by 0.05, over 0.04"],
        ),
        ({"privacy": {"Copied rows": {"beside": 0.0}}}, []),
        (
            {"fidelity": {"Beside nothing": {"beside": 0.1}}},
            ["fidelity: Beside nothing is 0.2 beside nan of real data, worse by nan, over 0.1"],
        ),
        (
            {"fidelity": {"Trend error": {"beside": 0.1}}},
            ["fidelity: Trend error has no real figure to stand beside, in this report or in any"],
        ),
        ({"fidelity": {"C2ST": {"min": 0.5}}}, ["fidelity: C2ST is undefined"]),
        (
            {"fidelity": {"C2STT": {"min": 0.5}}},
            ["fidelity: C2STT was not measured: did you mean 'C2ST'?"],
        ),
        ({"privacy": {"C2ST": {"min": 0.5}}}, ["privacy: C2ST is a figure of fidelity"]),
    ],
)
def test_what_is_not_kept_is_said(report, gates, failed):
    assert report.failures(gates) == failed
    assert report.passes(gates) is not bool(failed)


def test_all_thresholds_of_a_file_are_held(report, tmp_path):
    file = tmp_path / "gates.yaml"
    file.write_text(
        "fidelity:\n  Shape error: {max: 0.01, beside: 0.001}\nutility:\n  TSTR AUC: {min: 0.5}\nprivacy:\n"
        "  Copied rows: {max: 0}\n"
    )
    assert len(report.failures(file)) == 2
    assert not report.passes(str(file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fidelty:\n  Shape error: {max: 1}", "unknown face 'fidelty': did you mean 'fidelity'"),
        ("fidelity:\n  Shape error: {maximum: 1}", "unknown bound 'maximum': did you mean 'max'"),
        ("fidelity:\n  Shape error: {max: low}", "found 'low', expected a number"),
        ("fidelity:\n  Shape error: {max: yes}", "found True, expected a number"),
        ("fidelity:\n  Shape error: 0.1", "found 0.1, expected bounds such as"),
        ("fidelity: high", "expected bounds by figure"),
        ("- a", "found list, expected thresholds"),
        ("", "found NoneType, expected thresholds"),
        ("a: [", "cannot be read as YAML"),
        ("fidelity:\n  C2ST: {min: 0.6}\n  C2ST: {min: 0}", "'C2ST' comes twice, the second time in line 3"),
        ("fidelity:\n  C2ST: {min: 0.6}\nfidelity:\n  TSTR: {min: 0}", "'fidelity' comes twice"),
    ],
)
def test_a_file_that_is_no_file_of_gates(tmp_path, text, said):
    file = tmp_path / "gates.yaml"
    file.write_text(text)
    with pytest.raises(SynthgenError, match=said) as error:
        read_gates(file)
    assert str(file) in str(error.value)
    with pytest.raises(SynthgenError, match="no such file"):
        read_gates(tmp_path / "none.yaml")


def test_loss_knows_every_direction():
    assert loss("closer to 0.5", 0.25) == loss("closer to 0.5", 0.75) == 0.25
    assert loss("higher", 0.9) < loss("higher", 0.8)
    assert loss("lower", 0.1) < loss("lower", 0.2)
    assert loss("as high as real", 1.0, 0.75) == loss("as high as real", 0.5, 0.75) == 0.25
    assert loss("as far as real", 3.0, 4.0) < loss("as far as real", 9.0, 4.0)
    for better in ("closer to real", "as far as real"):
        assert loss(better, 1.0) != loss(better, 1.0)  # NaN: real is not known
