"""The sentences that captions are made of, by event and variant.

{a} {b}: the actors with their article; {the_a} {the_b}: with "the"; {dir}: a direction; {n}: "once", "twice"...;
{first} {second}: by order in time; {tower}, {stack}: a tower described exactly and in short. The first `short` is the
short caption. `heldout` sentences are never used in training.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CAMERA_WORDS",
    "HELDOUT_WORDS",
    "OPENINGS",
    "PHRASES",
    "PLACES",
    "PLACES_BEFORE",
    "SYNONYMS",
    "CameraWords",
    "Phrases",
]


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """long: one exact clause. short and trained may be used in training, heldout may not."""

    long: str
    short: tuple[str, ...]
    trained: tuple[str, ...]
    heldout: tuple[str, ...]


def _motion(verb: str, ing: str) -> dict[tuple[str, str], Phrases]:
    """The sentences that differ only in whether the first actor rolls or slides."""
    return {
        ("ramp", verb): Phrases(
            long=f"{{a}} {verb} down a ramp {{dir}} and onto the floor",
            short=(f"{{a}} {ing} down a ramp",),
            trained=(
                f"{{a}} {verb} down a slope {{dir}}",
                f"a ramp with {{a}} {ing} down it {{dir}}",
                "{a} goes down a ramp and along the floor {dir}",
                f"{{a}} comes {ing} down a ramp {{dir}}",
                "{a} runs down a slope and over the floor {dir}",
                f"from the top of a ramp {{a}} {verb} down",
            ),
            heldout=(f"down an incline {verb} {{a}}, {{dir}}", "{a} comes down off a ramp"),
        ),
        ("collide", verb): Phrases(
            long=f"{{a}} {verb} {{dir}} into {{b}} and sets it in motion",
            short=(f"{{a}} {ing} into {{b}}", "{a} hitting {b}"),
            trained=(
                f"{{a}} {verb} {{dir}}, hits {{b}} and pushes it away",
                "{a} collides with {b}, which stood still",
                "{b} is hit by {a} and moves off {dir}",
                "{a} rams {b} and sends it {dir}",
                "{a} runs into {b} and gets it moving",
                "{a} knocks {b} away",
            ),
            heldout=("{a} bumps into {b} and shoves it {dir}", "{b} gets struck by {a}"),
        ),
        ("topple", verb): Phrases(
            long=f"{{a}} {verb} {{dir}} into {{b}} and knocks it over",
            short=("{a} knocking over {b}", "{a} knocks down {b}"),
            trained=(
                f"{{a}} {verb} {{dir}}, hits {{b}} and {{the_b}} falls over",
                "{b} is knocked over by {a}",
                "{a} bowls over {b}",
                "{a} upsets {b}",
                "{a} makes {b} fall over",
                "{a} hits {b}, and over it goes",
            ),
            heldout=("{b} tips over when {a} runs into it", "{a} topples {b}"),
        ),
        ("hide", f"{verb} out"): Phrases(
            long=f"{{a}} {verb} {{dir}} behind a wall and comes out on the other side",
            short=("{a} passing behind a wall", f"{{a}} {ing} behind a wall"),
            trained=(
                f"{{a}} {verb} {{dir}}, disappears behind a wall and appears again",
                "a wall hides {a} for a moment as it passes {dir}",
                f"{{a}} is {ing} behind a wall and out again",
                "{a} goes behind a wall and comes back into view",
                "{a} is lost from sight behind a wall and then seen again",
            ),
            heldout=("{a} vanishes behind a wall, then reappears", "behind a wall and out again goes {a}"),
        ),
        ("hide", f"{verb} in"): Phrases(
            long=f"{{a}} {verb} {{dir}} behind a wall and stays hidden there",
            short=("{a} hiding behind a wall", "{a} stopping behind a wall"),
            trained=(
                f"{{a}} {verb} {{dir}}, disappears behind a wall and does not come out",
                "{a} goes behind a wall and stops there",
                f"{{a}} {verb} out of sight behind a wall",
                "{a} goes behind a wall and is not seen again",
                "{a} ends up behind a wall, out of sight",
            ),
            heldout=("{a} vanishes behind a wall for good", "a wall hides {a}, which never comes back"),
        ),
        ("edge", verb): Phrases(
            long=f"{{a}} {verb} {{dir}} off the edge of a table and falls to the floor",
            short=("{a} falling off a table", f"{{a}} {ing} off a table"),
            trained=(
                "{a} is pushed {dir} over the edge of a table and falls",
                f"{{a}} {verb} along a table top, goes over the edge and drops to the floor",
                "{a} falls from a table {dir}",
                "{a} leaves a table {dir} and falls to the floor",
                "{a} goes off a table and lands on the floor",
            ),
            heldout=("{a} tumbles off a table", "over the edge of a table goes {a}"),
        ),
    }


PHRASES: dict[tuple[str, str], Phrases] = {
    ("drop", "bounces"): Phrases(
        long="{a} drops onto the floor and bounces {n}",
        short=("{a} bouncing", "{a} dropping and bouncing"),
        trained=(
            "{a} falls to the floor and bounces {n}",
            "{a} bounces {n} after it falls",
            "{a} is dropped and bounces on the floor",
            "{a} falls from above, hits the floor and jumps up again",
            "{a} comes down, hits the floor and bounces {n}",
            "{a} is let go, falls and bounces {n}",
            "{a} leaps up again when it hits the floor",
            "{a} springs back from the floor {n}",
            "dropped from above, {a} bounces {n}",
            "{a} drops from the air and bounces",
            "after a short fall {a} bounces {n}",
            "the fall and bounce of {a}",
            "{a} dives to the floor and springs up {n}",
            "{a} hops {n} after it is dropped",
            "{a} falls, and the floor throws it back {n}",
            "down falls {a} and bounces {n}",
        ),
        heldout=(
            "{a} plunges down and rebounds {n}",
            "watch {a} fall and bounce",
            "bouncing on the ground, {a}",
        ),
    ),
    ("drop", "lands"): Phrases(
        long="{a} drops onto the floor and stays down",
        short=("{a} dropping", "{a} falling to the floor"),
        trained=(
            "{a} falls to the floor and lies there",
            "{a} is dropped and lands on the floor",
            "{a} falls from above and does not bounce much",
            "{a} comes down, hits the floor and lies still",
            "{a} is let go, falls and stays where it lands",
            "dropped from above, {a} lands on the floor",
            "{a} drops from the air onto the floor",
            "{a} lands on the floor with hardly a bounce",
            "{a} drops to the floor like a stone",
            "after a short fall {a} lies on the floor",
            "the fall of {a} onto the floor",
            "{a} dives to the floor and stays there",
            "gravity takes {a} down to the floor",
            "down falls {a} and stays down",
        ),
        heldout=("{a} plunges down to the ground", "watch {a} fall and settle"),
    ),
    ("drop", "two"): Phrases(
        long="{a} and {b} drop onto the floor; {first} lands before {second}",
        short=("{a} and {b} falling", "{a} and {b} dropping"),
        trained=(
            "{a} and {b} fall to the floor, first {first}, then {second}",
            "{a} and {b} are dropped; {second} lands last",
            "two things fall: {a} and {b}",
            "{a} drops together with {b}",
            "both fall, {a} and {b}",
            "{a} and {b} fall, and {first} hits the floor before {second}",
        ),
        heldout=("{first} reaches the ground, and after it {second}", "down come {a} and {b}"),
    ),
    ("roll", "rolls"): Phrases(
        long="{a} rolls across the floor {dir}",
        short=("{a} rolling", "{a} rolling {dir}"),
        trained=(
            "{a} is rolling {dir}",
            "{a} rolls over the floor, moving {dir}",
            "{a} rolls along {dir}",
            "a floor with {a} rolling across it {dir}",
            "{a} comes rolling {dir}",
            "{a} spins along the floor {dir}",
            "{a} turns over and over as it moves {dir}",
            "{a} wheels {dir}",
            "rolling {dir}, {a} crosses the floor",
            "{a} rolls on and on {dir}",
            "a push sends {a} rolling {dir}",
            "{a} rumbles over the floor {dir}",
            "{a} whirls along {dir}",
            "{a} travels {dir}, turning round and round",
            "{a} keeps rolling {dir}",
            "{dir} rolls {a}",
        ),
        heldout=("{a} trundles {dir}", "across the ground {dir} rolls {a}", "watch {a} roll by"),
    ),
    ("slide", "slides"): Phrases(
        long="{a} slides across the floor {dir} and comes to a stop",
        short=("{a} sliding to a stop", "{a} sliding {dir}"),
        trained=(
            "{a} is sliding {dir}, slower and slower",
            "{a} slides {dir} until it stops",
            "{a} slides over the floor and stops",
            "{a} slows down and stops as it slides {dir}",
            "{a} skids {dir} and stops",
            "{a} slips across the floor {dir} and slows down",
            "{a} skates over the floor {dir} and comes to a standstill",
            "{a} coasts {dir} to a stop",
            "{a} drifts {dir}, slower and slower",
            "friction stops {a} as it slides {dir}",
            "pushed along the floor, {a} slides and stops",
            "a push sends {a} sliding {dir}",
            "{a} brakes as it slides {dir}",
            "{a} scrapes along the floor {dir} and comes to a stop",
            "sliding {dir}, {a} slows down",
            "{a} scoots {dir} and stops",
            "{a} loses speed, sliding {dir}",
            "{a} shoots over the floor {dir} and slows to a stop",
        ),
        heldout=("{a} glides {dir} and halts", "gliding across the ground, {a} comes to rest"),
    ),
    ("crash", "meets"): Phrases(
        long="{a} and {b} move towards each other and collide",
        short=("{a} and {b} colliding", "{a} and {b} crashing into each other"),
        trained=(
            "{a} and {b} run into each other",
            "{a} comes from one side, {b} from the other, and they collide",
            "{a} meets {b} head on",
            "{a} and {b} rush towards each other and crash",
            "two things collide: {a} and {b}",
            "{a} and {b} hit each other in the middle",
        ),
        heldout=("{a} and {b} bump into one another", "a head-on crash of {a} and {b}"),
    ),
    ("collapse", "collapses"): Phrases(
        long="{tower} collapses {dir}",
        short=("{stack} collapsing", "{stack} falling over"),
        trained=(
            "{tower} falls over {dir}",
            "{stack} falls down",
            "{tower} tips and comes down {dir}",
            "{stack} gives way",
            "{stack} breaks apart and falls {dir}",
        ),
        heldout=("{stack} tumbles down", "down comes {tower}"),
    ),
    ("swing", "swings"): Phrases(
        long="{a} swings on a string that hangs from a beam",
        short=("{a} swinging on a string",),
        trained=(
            "{a} hangs from a string and swings to and fro",
            "{a} is swinging from a beam",
            "a string with {a} swinging on it",
            "{a} on a string swings back and forth",
            "hung from a beam, {a} swings from side to side",
        ),
        heldout=("{a} dangles on a thread and sways", "like a pendulum, {a} goes to and fro"),
    ),
    ("still", "still"): Phrases(
        long="a still picture of {a}",
        short=("{a}", "a picture of {a}"),
        trained=(
            "a photo of {a}",
            "an image with {a} in it",
            "here is {a}",
            "there is {a}",
            "this is {a}",
            "a view of {a}",
        ),
        heldout=("a snapshot of {a}", "one frame showing {a}"),
    ),
    **_motion("rolls", "rolling"),
    **_motion("slides", "sliding"),
}


@dataclass(frozen=True, kw_only=True)
class CameraWords:
    """A camera move as a sentence, and as clauses that follow a caption."""

    long: str
    trained: tuple[str, ...]
    heldout: tuple[str, ...]


CAMERA_WORDS = {
    "still": CameraWords(
        long="The camera is still.",
        trained=("The camera does not move.", "A still camera.", "Fixed camera."),
        heldout=("Static shot.", "The camera holds."),
    ),
    "pan right": CameraWords(
        long="The camera pans to the right.",
        trained=("The camera turns to the right.", "Pan right.", "The view pans right."),
        heldout=("The camera swivels to the right.", "A pan towards the right."),
    ),
    "pan left": CameraWords(
        long="The camera pans to the left.",
        trained=("The camera turns to the left.", "Pan left.", "The view pans left."),
        heldout=("The camera swivels to the left.", "A pan towards the left."),
    ),
    "orbit right": CameraWords(
        long="The camera orbits to the right.",
        trained=(
            "The camera circles around to the right.",
            "Orbit right.",
            "The camera moves around to the right.",
        ),
        heldout=("The view revolves to the right.", "An orbit towards the right."),
    ),
    "orbit left": CameraWords(
        long="The camera orbits to the left.",
        trained=(
            "The camera circles around to the left.",
            "Orbit left.",
            "The camera moves around to the left.",
        ),
        heldout=("The view revolves to the left.", "An orbit towards the left."),
    ),
    "dolly in": CameraWords(
        long="The camera moves in.",
        trained=("The camera comes closer.", "Dolly in.", "The camera moves forward."),
        heldout=("The camera pushes in.", "The camera draws near."),
    ),
    "dolly out": CameraWords(
        long="The camera moves back.",
        trained=("The camera backs away.", "Dolly out.", "The camera moves away."),
        heldout=("The camera pulls out.", "The camera retreats."),
    ),
    "crane up": CameraWords(
        long="The camera rises.",
        trained=("The camera goes up.", "Crane up.", "The camera moves up."),
        heldout=("The camera lifts.", "The camera climbs."),
    ),
    "crane down": CameraWords(
        long="The camera sinks.",
        trained=("The camera goes down.", "Crane down.", "The camera moves down."),
        heldout=("The camera lowers.", "The camera descends."),
    ),
}

PLACES = ("The floor is {floor}.", "On a {floor} floor.", "{floor} floor, {sky}.", "Under {sky}.")
PLACES_BEFORE = ("on a {floor} floor", "under {sky}", "on a {floor} floor under {sky}")  # then a comma

# In trained paraphrases only.
OPENINGS = ("in this video", "here", "now", "in this clip", "suddenly", "we see how")
SYNONYMS = {
    "ball": ("ball", "sphere", "orb"),
    "cube": ("cube", "block", "box"),
    "cylinder": ("cylinder", "drum"),
    "capsule": ("capsule", "pill"),
}

# What stands in held-out sentences alone: training must not see these in any sentence, the scorecard asks with them.
_HELDOUT_ALONE = """
    another bump bumps climbs dangles descends draws frame glides gliding good ground halts holds incline lifts
    lowers never pendulum plunges pulls reaches reappears rebounds rest retreats revolves roll settle shot
    shoves showing snapshot static struck sways swivels thread topples trundles tumbles vanishes watch
"""
HELDOUT_WORDS = frozenset(_HELDOUT_ALONE.split())
