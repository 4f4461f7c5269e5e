"""Files and legends of pictures."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from prerec_pyro.plots.figures import figure_of, legend_beside, save


def test_a_figure_is_written_in_each_format_and_closed(tmp_path: Path) -> None:
    figure, axis = plt.subplots()
    paths = [tmp_path / "one.partial", tmp_path / "two.partial"]
    save([axis], *paths, formats=("png", "svg"))
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in paths[1].read_bytes()
    assert figure.number not in plt.get_fignums()
    with pytest.raises(ValueError, match="zip"):
        save([axis], *paths, formats=("png",))


def test_the_same_picture_gives_the_same_svg(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        _, axis = plt.subplots()
        axis.plot([1, 2], [3, 4])
        save([axis], tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_axes_of_a_subfigure_belong_to_its_figure() -> None:
    figure = plt.figure()
    axis = figure.subfigures(1, 2)[0].subplots()
    assert figure_of([axis]) is figure
    plt.close(figure)


def test_a_legend_names_each_label_once() -> None:
    figure, axes = plt.subplots(1, 2)
    for axis in axes:
        axis.plot([1], [1], label="prerec")
    axes[1].plot([1], [1], label="pop")
    legend_beside(figure, list(axes))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["prerec", "pop"]
    plt.close(figure)
