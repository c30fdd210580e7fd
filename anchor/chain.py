# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain as the anchor sees it: any EVM node's JSON-RPC, through web3.py, turned into values.

Nothing that a node says is believed here; what ends up in evidence is verified by `anchor.capture`,
what ends up in a trust file by `anchor.trustfile`. Besides Ethereum's methods our node's own are
asked: `moneo_getLightBlock`, `moneo_getEras` and `moneo_getMembers`. Values and errors are `anchor.onchain`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import requests
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.exceptions import (
    BadResponseFormat,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.types import RPCEndpoint

import contracts
from anchor.onchain import (
    AccountProof,
    Call,
    ChainAnswerError,
    ChainError,
    ChainRefused,
    ChainReverted,
    ChainUnreachable,
    FinalBlock,
    Head,
    IssuerState,
    KnownMember,
    Mined,
    SignedCall,
)
from node.light import LightBlock, LightError, from_rpc

__all__ = [
    "GAS",
    "AccountProof",
    "Call",
    "Chain",
    "ChainAnswerError",
    "ChainError",
    "ChainRefused",
    "ChainReverted",
    "ChainUnreachable",
    "FinalBlock",
    "Head",
    "IssuerState",
    "KnownMember",
    "Mined",
    "Reader",
    "SignedCall",
]

TIMEOUT_SECONDS: Final = 15.0
# Logs are searched backwards in windows that every node answers.
LOG_WINDOW: Final = 2_000
# Slots whose proofs are asked for at once: our node answers for 128.
PROOF_WINDOW: Final = 100
# Above what each call takes (docs/gas.md), and far below the block's limit.
GAS: Final = {
    "anchor": 250_000,
    "register_log": 200_000,
    "register": 150_000,
    "revoke": 150_000,
    "change_hosts": 150_000,
    # What a proposal or vote decides is done in the same transaction, which may use no more.
    "propose": 1_000_000,
    "vote": 1_000_000,
}


class Reader:
    """One chain through one node, which is only asked."""

    def __init__(self, url: str) -> None:
        self._session = requests.Session()
        provider = HTTPProvider(
            url,
            session=self._session,
            request_kwargs={"timeout": TIMEOUT_SECONDS},
            # Retrying is the anchor process's business, which says so and never sleeps deaf.
            exception_retry_configuration=None,
        )
        self._web3 = Web3(provider)
        self._contracts = {name: self._contract(name) for name in contracts.CONTRACTS}

    def close(self) -> None:
        """Close the connections to the node."""
        self._session.close()

    def chain_id(self) -> int:
        """The EVM chain id, as the node says."""
        with _translated():
            return int(self._web3.eth.chain_id)

    def newest(self) -> int:
        """The newest EVM block's number."""
        with _translated():
            return int(self._web3.eth.block_number)

    def head(self, origin: bytes) -> bytes:
        """What AnchorLog holds for the log whose origin has this hash; zeros if nothing."""
        return self._read("AnchorLog", "head", origin)

    def last_head(self, origin: bytes) -> Head | None:
        """The newest preimage of a log's head that AnchorLog has told in its events."""
        events = self._contracts["AnchorLog"].events
        found = self._last_event([events.Anchored(), events.Registered()], {"origin": origin})
        if found is None:
            return None
        head = found["head"]
        owner, key_id, size, root, aux, block = _members(
            head, "owner", "log_key_id", "size", "root", "aux", "block"
        )
        return Head(bytes.fromhex(owner[2:]), bytes(key_id), size, bytes(root), bytes(aux), block)

    def proof(self, contract: str, slots: Sequence[bytes], block: int) -> AccountProof:
        """EIP-1186 proofs of a contract and of slots (32 bytes each) in a block's state."""
        windows = [slots[at : at + PROOF_WINDOW] for at in range(0, len(slots), PROOF_WINDOW)]
        found = [self._proof(contract, window, block) for window in windows or [()]]
        return AccountProof(found[0].account, tuple(one for each in found for one in each.slots))

    def _proof(self, contract: str, slots: Sequence[bytes], block: int) -> AccountProof:
        keys = ["0x" + slot.hex() for slot in slots]
        address = "0x" + contracts.ADDRESSES[contract].hex()
        answer = self._ask("eth_getProof", [address, keys, hex(block)])
        with _shaped("eth_getProof"):
            storage = {_word(each["key"]): _nodes(each["proof"]) for each in answer["storageProof"]}
            return AccountProof(
                _nodes(answer["accountProof"]), tuple(storage[bytes(slot)] for slot in slots)
            )

    def light_block(self, number: int) -> FinalBlock | None:
        """The header of a block with the light block that carries it; None while not final."""
        return self._light_block(hex(number))

    def newest_final(self) -> FinalBlock | None:
        """The newest header that a light block carries, with that; None while there is none."""
        return self._light_block("finalized")

    def _light_block(self, block: str) -> FinalBlock | None:
        answer = self._ask("moneo_getLightBlock", [block])
        if answer is None:
            return None
        with _shaped("moneo_getLightBlock"):
            return FinalBlock(_bytes(answer["evmHeader"]), from_rpc(answer["lightBlock"]))

    def eras(self, after: int = 0) -> list[LightBlock]:
        """The light blocks above a height at which the validator set changes, oldest first."""
        answer = self._ask("moneo_getEras", [after])
        with _shaped("moneo_getEras"):
            return [from_rpc(each) for each in answer]

    def members(self) -> list[KnownMember]:
        """The members of today with what the node has of their cards; empty if no votes govern."""
        answer = self._ask("moneo_getMembers", [])
        with _shaped("moneo_getMembers"):
            return [KnownMember(_bytes(each["account"]), each["card"]) for each in answer]

    def is_behind(self) -> bool:
        """Whether the node is still catching up with the others: what it says is of the past."""
        return self._ask("eth_syncing", []) is not False

    def block_hash(self, number: int) -> bytes:
        """The hash of an EVM block, as the node says."""
        answer = self._ask("eth_getBlockByNumber", [hex(number), False])
        with _shaped("eth_getBlockByNumber"):
            return _word(answer["hash"])

    def _contract(self, name: str) -> Contract:
        return self._web3.eth.contract(
            address=_checksum(contracts.ADDRESSES[name]), abi=contracts.abi(name)
        )

    def _read(self, contract: str, name: str, *arguments: Any) -> bytes:
        with _translated():
            return bytes(self._contracts[contract].get_function_by_name(name)(*arguments).call())

    def _last_event(self, kinds: list[Any], wanted: dict[str, Any]) -> Any:
        """Return the arguments of the newest of these events, looking backwards."""
        end = self.newest()
        while end >= 0:
            start = max(0, end - LOG_WINDOW + 1)
            found: list[Any] = []
            with _translated():
                for kind in kinds:
                    found += kind.get_logs(wanted, from_block=start, to_block=end)
            if found:
                newest = max(found, key=lambda one: (one["blockNumber"], one["logIndex"]))
                return newest["args"]
            end = start - 1
        return None

    def _ask(self, method: str, parameters: list[Any]) -> Any:
        with _translated():
            answer = self._web3.provider.make_request(RPCEndpoint(method), parameters)
        error = answer.get("error")
        if error is not None:
            raise ChainRefused(f"nút từ chối · {_reason(method, error)}")
        if "result" not in answer:
            raise ChainAnswerError(f"nút trả lời sai · {method}: an answer without result")
        return answer["result"]


class Chain(Reader):
    """One chain through one node, with the member's key to sign for it."""

    def __init__(self, url: str, secret: bytes) -> None:
        super().__init__(url)
        self._account: LocalAccount = Account.from_key(secret)
        self._chain_id: int | None = None

    @property
    def address(self) -> bytes:
        """The member's 20-byte address."""
        return bytes.fromhex(self._account.address[2:])

    def is_admitted(self) -> bool:
        """Whether the chain takes transactions of the member's key."""
        consortium = self._contracts["Consortium"]
        with _translated():
            return bool(consortium.functions.may_transact(self._account.address).call())

    def nonce(self) -> int:
        """How many transactions of the member's key are on the chain."""
        with _translated():
            return int(self._web3.eth.get_transaction_count(self._account.address, "latest"))

    def attempt(self, call: Call) -> None:
        """Run a call without sending it; ChainRefused with the reason if it would fail."""
        with _translated():
            self._function(call).call({"from": self._account.address, "gas": GAS[call.function]})

    def sign(self, call: Call, nonce: int) -> SignedCall:
        """Sign a call as a transaction of this nonce (type 2, without a price: PROTOCOL §5)."""
        if self._chain_id is None:
            self._chain_id = self.chain_id()
        contract = self._contracts[call.contract]
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": nonce,
                "to": contract.address,
                "value": 0,
                "gas": GAS[call.function],
                "maxFeePerGas": 0,
                "maxPriorityFeePerGas": 0,
                "data": contract.encode_abi(call.function, args=list(call.arguments)),
            }
        )
        return SignedCall(nonce, bytes(signed.hash), bytes(signed.raw_transaction))

    def send(self, raw: bytes) -> None:
        """Hand a signed transaction to the node; ChainRefused if it won't have it."""
        with _translated():
            self._web3.eth.send_raw_transaction(raw)

    def mined(self, digest: bytes) -> Mined | None:
        """Where a transaction was executed, or None."""
        with _translated():
            try:
                receipt = self._web3.eth.get_transaction_receipt(HexBytes(digest))
            except TransactionNotFound:
                return None
            return Mined(int(receipt["blockNumber"]), receipt["status"] == 1)

    def issuer(self, key_id: bytes) -> bytes:
        """What IssuerRegistry holds for this key under the member; zeros if nothing."""
        return self._read("IssuerRegistry", "issuer", self._account.address, key_id)

    def last_issuer(self, key_id: bytes) -> IssuerState | None:
        """The newest preimage of an issuer's slot that IssuerRegistry has told in its events."""
        events = self._contracts["IssuerRegistry"].events
        wanted = {"owner": self._account.address, "issuer_key_id": key_id}
        found = self._last_event([events.Revoked(), events.Registered()], wanted)
        if found is None:
            return None
        custody, registered, revoked, registration = _members(
            found["issuer"], "custody", "registered", "revoked", "registration"
        )
        return IssuerState(custody, registered, revoked, bytes(registration))

    def _function(self, call: Call) -> Any:
        return self._contracts[call.contract].get_function_by_name(call.function)(*call.arguments)


def anchor_call(origin: bytes, head: Head, size: int, root: bytes, path: Sequence[bytes]) -> Call:
    """The call that anchors a checkpoint over the current head, with its consistency path."""
    preimage = (
        _checksum(head.owner),
        head.log_key_id,
        head.size,
        head.root,
        head.aux,
        head.block,
    )
    return Call("AnchorLog", "anchor", (origin, preimage, size, root, list(path)))


def register_log_call(origin: bytes, log_key_id: bytes) -> Call:
    """The call by which a member registers its log."""
    return Call("Consortium", "register_log", (origin, log_key_id))


def register_issuer_call(key_id: bytes, custody: int, registration: bytes) -> Call:
    """The call that registers an issuer key."""
    return Call("IssuerRegistry", "register", (key_id, custody, registration))


def revoke_issuer_call(key_id: bytes, state: IssuerState) -> Call:
    """The call that revokes an issuer key whose slot has this preimage."""
    arguments = (key_id, state.custody, state.registered, state.registration)
    return Call("IssuerRegistry", "revoke", arguments)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what web3.py and the HTTP client raise into this module's errors."""
    try:
        yield
    except requests.HTTPError as error:
        raise ChainUnreachable(f"nút báo lỗi · the node answers {error}") from error
    except (requests.RequestException, OSError) as error:
        raise ChainUnreachable("không kết nối được nút · the node can't be reached") from error
    except BadResponseFormat as error:
        raise ChainAnswerError(f"nút trả lời sai · {error}") from error
    except Web3RPCError as error:
        raise ChainRefused(f"nút từ chối · {error.message or error}") from error
    except ContractLogicError as error:
        reason = (error.message or str(error)).removeprefix("execution reverted: ")
        raise ChainReverted(f"nút từ chối · {error}", reason) from error
    except Web3Exception as error:
        raise ChainRefused(f"nút từ chối · {error}") from error
    except ValueError as error:
        raise ChainAnswerError(
            f"không đọc được câu trả lời của nút · the node's answer can't be read: {error}"
        ) from error


@contextmanager
def _shaped(method: str) -> Iterator[None]:
    """Turn whatever a malformed answer leads to into one error."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, LightError) as error:
        raise ChainAnswerError(f"nút trả lời sai · {method}: malformed answer: {error}") from error


def _reason(method: str, error: Any) -> str:
    message = error.get("message") if isinstance(error, dict) else error
    return f"{method}: {message}"


def _members(value: Any, *names: str) -> list[Any]:
    """Return a decoded struct's members, which web3.py gives by name or by position."""
    return [value[name] for name in names] if hasattr(value, "keys") else list(value)


def _checksum(address: bytes) -> ChecksumAddress:
    return Web3.to_checksum_address("0x" + address.hex())


def _bytes(text: str) -> bytes:
    if not text.startswith("0x"):
        raise ValueError("bytes without 0x")
    return bytes.fromhex(text[2:])


def _word(text: str) -> bytes:
    """Read a number or 32 bytes in hexadecimal; servers differ in leading zeros of a slot."""
    return int(text, 16).to_bytes(32, "big")


def _nodes(proof: list[str]) -> tuple[bytes, ...]:
    return tuple(map(_bytes, proof))
