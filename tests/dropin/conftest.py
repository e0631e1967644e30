"""Marks that the suites of other frameworks carry."""


def pytest_configure(config):
    for mark in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{mark}: of LangChain's own suite")
