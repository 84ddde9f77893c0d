"""The synthetic requests are such as the ledger would take."""

import random
from itertools import islice

from bench import views
from services.ledger import core
from tests.support.usage import message


def test_synthetic_records_are_read_as_they_were_made():
    made = list(islice(views._records(random.Random(1), 10_000_000, 30), 400))
    entries = [entry for entry, _ in made]
    reading = core.read([message(*(entry.usage for entry in entries))])
    assert not reading.poison
    assert [(one.usage, one.sole_call, one.day) for one in reading.entries] == [
        (one.usage, one.sole_call, one.day) for one in entries
    ]
    validations = [validation for _, validation in made if validation is not None]
    reading = core.read([message(validations=tuple(one.usage for one in validations))])
    assert not reading.poison
    assert len(reading.validations) == 4
    assert {one.usage.cache for one in entries} == {"hit", "miss"}
    assert max(len(one.usage.attempts) for one in entries) == 2
