"""The service: one gallery, its upgrade, and a dashboard, over HTTP.

    holdfast serve                     http://127.0.0.1:8111/

It holds the stores, so it is the one process that searches, writes and runs the engine:

    steward     keeps the gallery open and carries out commands, one at a time
    desk        searches and writes; office: status, findings, commands
    api         routes and their description (OpenAPI)
    door        who may come in: host, origin, token; limits: how much, and how slowly
    page        the dashboard, drawn here and kept up to date by an event stream

No route needs another host, and no page loads anything from one.
"""
