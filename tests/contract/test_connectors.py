"""Every connector of ours keeps the contract, against every kind of case system it is made for."""

from __future__ import annotations

from connectors.contract import ConnectorContract
from connectors.folder import FolderConnector
from connectors.rest import RestConnector
from connectors.simulator import Simulator
from connectors.watched_folder import WatchedFolder


class TestRestWithFallakte(ConnectorContract):
    connector = RestConnector

    def system(self) -> Simulator:
        return Simulator("fallakte")


class TestRestWithAmtsregister(ConnectorContract):
    connector = RestConnector

    def system(self) -> Simulator:
        return Simulator("amtsregister")


class TestFolder(ConnectorContract):
    connector = FolderConnector

    def system(self) -> WatchedFolder:
        return WatchedFolder()


class TestFolderWhoseWatcherDeletes(ConnectorContract):
    connector = FolderConnector

    def system(self) -> WatchedFolder:
        return WatchedFolder(deletes=True)


class TestFolderWithReplies(ConnectorContract):
    connector = FolderConnector

    def system(self) -> WatchedFolder:
        return WatchedFolder(replies=True, deletes=True)
