import numpy as np
import pytest

from sorairo.evaluation.tracks import blobs_of, link, merge


def picture(boxes):
    """The votes of one frame: boxes (x, y, width, height, colour) whose pixels point to the middle of their box."""
    sure, centre = np.zeros((48, 48)), np.zeros((48, 48, 2))
    colour, shape = np.full((48, 48, 3), 0.02), np.full((48, 48, 2), 0.5)
    for x, y, width, height, c in boxes:
        ys, xs = np.mgrid[y : y + height, x : x + width]
        sure[ys, xs] = 0.95
        centre[ys, xs] = np.stack([x + width / 2 - xs, y + height / 2 - ys], axis=-1)
        colour[ys, xs, c] = 0.96
    return blobs_of(sure, centre, colour, shape)


def test_one_long_thing_whose_votes_did_not_meet_is_one_blob():
    (blob,) = picture([(4, 20, 18, 5, 0), (22, 20, 18, 5, 0)])
    assert blob.area == 180
    assert blob.centre == pytest.approx([21.5, 22])


@pytest.mark.parametrize("second", [(16, 20, 10, 10, 1), (26, 20, 10, 10, 0)])
def test_neighbours_of_another_colour_or_with_a_gap_between_them_are_two(second):
    assert len(picture([(6, 20, 10, 10, 0), second])) == 2


def test_an_object_that_is_seen_on_both_sides_of_another_is_one():
    wide, thin = (10, 10, 20, 10, 0), (18, 8, 4, 14, 1)
    clip = [picture([wide])] * 5
    clip += [picture([(10, 10, 8, 10, 0), (22, 10, 8, 10, 0), thin])] * 6 + [picture([wide])] * 5
    chains = merge(link(clip), shortest=4)
    colours = sorted(int(chain[0].vote("colour").argmax()) for chain in chains)
    assert colours == [0, 1]


def test_two_things_of_one_colour_that_are_both_there_stay_two():
    clip = [picture([(6, 20, 10, 10, 0), (30, 20, 10, 10, 0)])] * 9
    assert len(merge(link(clip), shortest=3)) == 2
