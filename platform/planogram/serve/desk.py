"""What pricing needs beside a request: the kill switch, the audit, and what products cost before."""

import logging
from dataclasses import dataclass, field

from planogram import storage
from planogram.pricing.curve import Kind
from planogram.pricing.demand import Baseline
from planogram.pricing.paths import default_audit, open_switch
from planogram.pricing.replay import DecisionLog
from planogram.pricing.switch import KillSwitch
from planogram.registry.bundle import BASELINE, open_bundle
from planogram.section import parse
from planogram.serve.call import Call
from planogram.serve.price_schemas import SwitchRequest, SwitchResponse
from planogram.serve.settings import PricingArgs
from planogram.serve.values import ModelInfo

logger = logging.getLogger(__name__)

# The version that serves, and the one before it or after it.
KEPT_VERSIONS = 2


@dataclass(frozen=True)
class PriceDesk:
    """One for each gateway replica.

    Attributes:
        kind: of the demand model.
        switch: while it is on, no price changes.
        log: of every decision.
    """

    kind: Kind
    switch: KillSwitch
    log: DecisionLog
    _baselines: dict[str, Baseline] = field(default_factory=dict)

    @classmethod
    def open(cls, args: PricingArgs, kind: Kind) -> "PriceDesk":
        """The desk that the application's arguments describe."""
        return cls(kind, open_switch(args.kill_switch), DecisionLog(args.audit or default_audit()))

    def baseline(self, model: ModelInfo) -> Baseline:
        """What the products of a bundle were expected to cost and to sell.

        Raises:
            IntegrityError: the bundle does not verify.
        """
        if model.digest not in self._baselines:
            folder, _ = open_bundle(model.path)
            path = str(folder / BASELINE)
            found = parse(Baseline, storage.read_json(path), path)
            while len(self._baselines) >= KEPT_VERSIONS:
                self._baselines.pop(next(iter(self._baselines)), None)
            self._baselines[model.digest] = found
        return self._baselines[model.digest]

    def failed(self, error: Exception) -> None:
        """Say in the log why prices stay."""
        logger.error("prices stay, since pricing failed: %s", error, exc_info=error)


def switch_state(switch: KillSwitch, call: Call) -> SwitchResponse:
    """What `/admin/prices` says."""
    found = switch.reason() or {}
    return SwitchResponse(
        request_id=call.request_id, stopped=switch.is_on(), who=found.get("who"), why=found.get("why")
    )


def turn_switch(switch: KillSwitch, request: SwitchRequest, call: Call) -> SwitchResponse:
    """Turn the switch in the name of the request's API key."""
    who = call.key or "nobody known"
    if request.stop:
        switch.turn_on(who, request.why)
    else:
        switch.turn_off(who, request.why)
    return switch_state(switch, call)
