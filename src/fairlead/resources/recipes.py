"""The recipes that there are, by engine. Each is imported only when it is asked for: most homes have no resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from fairlead.resources.recipe import Recipe


def all_recipes() -> Mapping[str, Recipe]:
    """Every recipe, by engine, made at its first use."""
    return _Recipes()


class _Recipes(Mapping[str, Recipe]):
    def __init__(self) -> None:
        self._made: dict[str, Recipe] = {}

    def __getitem__(self, engine: str) -> Recipe:
        if engine not in self._made:
            self._made[engine] = _MAKERS[engine]()
        return self._made[engine]

    def __iter__(self) -> Iterator[str]:
        return iter(_MAKERS)

    def __len__(self) -> int:
        return len(_MAKERS)


def _redis() -> Recipe:
    from fairlead.resources.redis import Redis

    return Redis()


def _postgres() -> Recipe:
    from fairlead.resources.postgres import Postgres

    return Postgres()


def _mysql() -> Recipe:
    from fairlead.resources.mysql import Mysql

    return Mysql()


def _s3() -> Recipe:
    from fairlead.resources.s3 import S3

    return S3()


_MAKERS: Mapping[str, Callable[[], Recipe]] = {"redis": _redis, "postgres": _postgres, "mysql": _mysql, "s3": _s3}
