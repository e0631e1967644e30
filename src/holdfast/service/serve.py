"""Everything put together, from a project to a running service."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..upgrade.price import Prices, read_prices
from ..upgrade.project import Project
from .api import Api
from .desk import Desk
from .door import Door
from .expense import Expense
from .lasting import set_apart
from .limits import Limits
from .live import Live
from .metrics import Metrics
from .office import Office
from .page import Page
from .server import Ending, bind, run
from .settings import GRACE_SECONDS, Settings
from .steward import Steward
from .tempo import Latency
from .threads import share_cores
from .wire import App


@dataclass(frozen=True, slots=True)
class Service:
    """A service that is ready to run.

    Args:
        app: Speaks ASGI; opens the gallery at its start.
        live: Its event stream.
        office: Opens the gallery before, if its errors are wanted here, and closes it.
    """

    app: App
    live: Live
    office: Office


def compose(
    project: Project,
    settings: Settings,
    prices: Path | None = None,
    resume: bool = True,
    grace: float = GRACE_SECONDS,
) -> Service:
    """Put the parts together; nothing is opened yet.

    Args:
        project: What is served.
        settings: Where, and for whom.
        prices: A table, see `upgrade/price.py`.
        resume: Go on with a backfill that was cut off.
        grace: Seconds for the batch under way when the service is closed.
    Raises:
        MissingExtra: FastAPI, uvicorn or prometheus_client is not installed.
        ConfigError: The table of prices cannot be read.
    """
    steward = Steward(project, resume, grace)
    latency = Latency()
    table = read_prices(prices) if prices else Prices()
    office = Office(steward, Expense(steward, table))
    metrics = Metrics(office.figures)
    desk = Desk(steward, latency, metrics)
    page = Page(steward, office, latency, settings)
    live = Live(page.parts)
    api = Api(settings, steward, desk, office, metrics, page, live)
    app: App = Door(Limits(api.build()), settings, metrics.answered)
    return Service(app, live, office)


def serve(
    project: Project,
    settings: Settings,
    prices: Path | None = None,
    resume: bool = True,
    tell: Callable[[str], None] | None = None,
    grace: float = GRACE_SECONDS,
    late: Callable[[list[str]], None] | None = None,
) -> bool:
    """Serve until told to stop; answers whether it ever started.

    Args:
        project: What is served.
        settings: Where, and for whom.
        prices: A table of prices.
        resume: Go on with a backfill that was cut off.
        tell: Called with the address, once it is taken.
        grace: Seconds for what is under way once it is told to stop.
        late: Called from another thread, with what is still under way then, in words; if it
            does not end the process, a model that hangs keeps it.
    """
    share_cores()
    service = compose(project, settings, prices, resume, grace)

    def over(requests: int) -> None:
        left = service.office.under_way(requests)
        if left and late:
            late(left)

    ending = Ending(grace, service.live.close, service.office.leave, over)
    taken = bind(settings)
    try:
        service.office.open()
        set_apart()
        logging.getLogger("holdfast.service").setLevel(logging.INFO)
        if tell:
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            tell(f"http://{host}:{taken.getsockname()[1]}/")
        return run(service.app, taken, ending)
    finally:
        service.office.close()
        taken.close()
