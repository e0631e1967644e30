"""Scenarios: what is trained on when, from which start, and what the teacher is.

A scenario is a list of tasks over one data set, whatever the head and the loss. A task leaves
one model, which then is the deployed one. Labels are vertices of the interface, and a growing
interface numbers classes in the order in which they come, so learned heads are served as well.

    retrain         from the start, on more and more classes            CoReS, BCT, OCA
    incremental     on, with new classes and a memory of old ones       CL2R
    asynchronous    the same, but now and then a model trained
                    elsewhere takes over                                IAM-CL2R
    few_shot        on, with new classes of a few items each and
                    nothing remembered                                  CPE-CLIP
    more_data       from the start, on more items of the same classes
    architectures   from the start, on the same items, by other models
    finer_labels    from the start, on the same items under finer names

Needs numpy only.
"""

from .architectures import architectures
from .few_shot import few_shot
from .finer_labels import finer_labels
from .incremental import asynchronous, incremental
from .more_data import more_data
from .retrain import retrain
from .task import Scenario, Start, Steps, Task, Teacher

__all__ = [
    "Scenario",
    "Start",
    "Steps",
    "Task",
    "Teacher",
    "architectures",
    "asynchronous",
    "few_shot",
    "finer_labels",
    "incremental",
    "more_data",
    "retrain",
]
