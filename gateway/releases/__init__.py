"""Installing official releases of message standards, as they are downloaded.

``add`` takes a zip, a folder or a single XSD, finds what belongs to it, proves it in a child process and puts it, unchanged,
into the site's own packages; or it refuses the whole with the reasons, and nothing is left. In the order of the work:

``unpacking`` bytes to a quiet place · ``survey`` what is there · ``layouts`` which files are the standard · ``closing`` what
it imports, from where · ``proving`` both schema engines, in a child · ``lint`` what libxml2 is known to be weak at ·
``rules`` its Schematron · ``manifest`` what a person can edit · ``staging`` one package ready · ``shelf`` where packages lie ·
``installing`` all of it, atomically.
"""

from gateway.releases.installing import InUse, add, check, remove
from gateway.releases.record import Checked, read_record
from gateway.releases.refusing import Refused
from gateway.releases.shelf import Unknown, installed, known, unchanging
from gateway.releases.staging import Added, Wish

__all__ = [
    "Added", "Checked", "InUse", "Refused", "Unknown", "Wish", "add", "check", "installed", "known", "read_record", "remove",
    "unchanging",
]
