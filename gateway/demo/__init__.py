"""``nahtlos demo``: the main job on real input, to watch and to take apart.

Two administrations with different case systems, a portal that sends every sample there is, a real gateway process between
them, faults on both sides, and a judge who believes only receipts and registers. ``command`` is where it begins,
``story`` tells it; ``stage`` starts and ends processes, ``judging`` counts what was lost or doubled.
"""
