"""What no schema can say of a good request.

A request that keeps to its document must be answered with 2xx or 304 (positive_data_acceptance). It may still be refused
for a reason that the document tells in words: the id is nobody's, a role does not exist, an e-mail is taken. Schemathesis
reads no words, so the reasons are told here as functions of the request. A refusal that they foresee is none of
Schemathesis's failures; any other refusal stays one. Of a 400 each single error must be foreseen.

This is the only place where a failure is dropped, and no other check's passes through it.
"""

import itertools
import json
import os
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi.checks import RejectedPositiveData

# The sandbox, as the calling administrator sees it.
CUSTOMERS = {"3393", "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"}
COMPANIES = {"5251", "5267"}
# Those whom the server has named are added.
USERS = {"6860", "94520740-d63c-4e02-85ca-c4e138801e73", "6861", "0cfecc31-e3f4-4fce-9a27-f36ea6256a10"}
with open(os.environ["DRAGOMAN_TOKENS"], encoding="utf-8") as file:
    TOKEN = json.load(file)["auth"][0]["fixedHeaders"][0]["value"]

# The roles that every directory has.
ROLES = {
    "ROLE_ADMIN", "ROLE_COMPANY_ADMIN", "ROLE_USER", "ROLE_RUN_TEST", "ROLE_CHANGE_USER", "ROLE_READ_ONLY", "ROLE_REPORT",
}
ADMINISTRATORS = {"ROLE_ADMIN", "ROLE_COMPANY_ADMIN"}
SUBROLES = {
    "owner": "e50822ad-98ce-4612-aec4-e2f6c3437b2a",
    "cro": "e0d4970f-0f4d-4a0d-aaa6-681a048cb656",
    "risk_analyst": "6351c76f-76a3-4950-9cc4-cc37cdc05ec2",
}
PATCHABLE = {"first_name", "last_name", "email", "mobile", "subrole", "status"}
RULES = []


@dataclass
class Sent:
    """A request as it was sent."""

    operation: str  # the operationId
    path: dict
    query: list
    headers: dict  # by names in lower case
    body: object  # decoded; None if there was none

    @property
    def customer(self):
        return text_of(self.path.get("customerID", self.path.get("id")))

    @property
    def user(self):
        return text_of(self.path.get("userID", self.path.get("userId")))


def text_of(value):
    """A parameter as the server reads it: UUIDs have no case, and Longs may begin with zeros."""
    if value is None:
        return None
    text = unquote(str(value)).lower()
    return str(int(text)) if re.fullmatch("-?[0-9]+", text) else text


def rule(*operations):
    """Registers a rule, for these operations or for all. It gives pairs of expressions: of an error's field and message."""

    def register(function):
        RULES.append((operations, function))
        return function

    return register


def texts(value):
    """Every text in a JSON value, the names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def members(body):
    return body if isinstance(body, dict) else {}


@rule()
def no_text_has_a_null(sent):
    # Members that the document does not know are read too, so no pattern of a known one says it.
    if any("\0" in text for text in texts(sent.body)):
        yield ".*", ".* must not contain U\\+0000"
    for name, value in sent.query:
        if "\0" in value:
            yield re.escape(name), ".* must be valid UTF-8 without U\\+0000"


@rule()
def strict_handling_refuses_what_would_be_ignored(sent):
    # Prefer: handling=strict (RFC 7240) turns the document's open objects into closed ones.
    if re.search(r"handling\s*=\s*\"?strict", sent.headers.get("prefer", ""), re.IGNORECASE):
        yield ".*", ".* would be ignored"


@rule("updateCustomerUser", "createCustomerUser", "updateUser")
def emails_and_usernames_are_unique(sent):
    # Over the whole platform, so it depends on all users that there are.
    if "email" in members(sent.body):
        yield "email", "Another customer user exists with the same email\\.|email is already taken by another user"
    if "username" in members(sent.body):
        yield "username", "username is already taken by another user"


def is_invisible(c):
    """Whether Unicode ignores it by default, or it is a control or format character, or a blank symbol."""
    return unicodedata.category(c) in {"Cc", "Cf"} or any(
        first <= ord(c) <= last
        for first, last in (
            (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x2800, 0x2800), (0x3164, 0x3164),
            (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1D159, 0x1D159), (0xE0000, 0xE0FFF),
        )
    )


@rule("updateCustomerUser", "createCustomerUser", "updateUser")
def names_can_be_seen(sent):
    # A pattern that says it would be longer than the rest of the document.
    for member in ("email", "username"):
        if any(map(is_invisible, text_of(members(sent.body).get(member)) or "")):
            yield member, f"{member} must not contain invisible characters or bidirectional controls"


@rule("updateCustomerUser")
def a_patch_names_a_known_member(sent):
    # minProperties counts unknown members too.
    if not PATCHABLE & members(sent.body).keys():
        yield ".*", ".* is not a member that can be updated"


@rule("updateCustomerUser", "createCustomerUser")
def a_subrole_is_one_of_the_directorys(sent):
    subrole = members(members(sent.body).get("subrole"))
    if not {"id", "code"} & subrole.keys():
        # "anyOf: [{required: [id]}, {required: [code]}]" would spoil the generated types.
        yield "subrole", "subrole must have an id or a code"
    if "code" in subrole and subrole["code"] not in SUBROLES:
        yield "subrole\\.code", "subrole\\.code is not the code of a subrole"
    if "id" in subrole and subrole["id"].lower() not in SUBROLES.values():
        yield "subrole\\.id", "subrole\\.id is not the id of a subrole"
    if {"id", "code"} <= subrole.keys() and subrole["id"].lower() != SUBROLES.get(subrole["code"]):
        yield "subrole", "subrole\\.id and subrole\\.code must name the same subrole"


@rule("updateUser")
def ids_in_the_body_are_the_paths(sent):
    for member, parameter in (("entityId", "userId"), ("customer", "id")):
        if text_of(members(sent.body).get(member)) not in (None, text_of(sent.path.get(parameter))):
            yield member, f"{member} must be null or the path's {parameter}"


@rule("updateUser")
def authorities_are_the_directorys_roles(sent):
    # The roles are rows of a table, not part of the contract.
    for i, authority in enumerate(members(sent.body).get("authorities", [])):
        if authority["name"] not in ROLES:
            yield f"authorities\\.{i}\\.name", f"authorities\\.{i}\\.name is not a role: .*"


@rule("updateUser")
def passwords_are_strong_and_come_together(sent):
    new, present = members(sent.body).get("newPassword"), members(sent.body).get("password")
    if new is None:
        if present is not None:
            yield "password", "password must come with newPassword"
        return
    # Letters of any script count, and no expression that both RE2 and ECMAScript read alike says that.
    kinds = {unicodedata.category(c) for c in new}
    symbol = any(" " < c < "\x7f" and not c.isalnum() for c in new)
    if not ({"Ll", "Lu"} <= kinds and symbol):
        yield "newPassword", "newPassword must have .*"


@rule("updateCustomerUser", "updateUser")
def a_customer_keeps_an_administrator(sent):
    # Grace Hopper is the sandbox's only one, unless another was made.
    body = members(sent.body)
    roles = {authority["name"] for authority in body.get("authorities", [])}
    resigns = (
        body.get("status") == "INACTIVE"
        or "subrole" in body
        or any(body.get(flag) is False for flag in ("enabled", "accountNonExpired", "accountNonLocked", "credentialNonExpired"))
        or sent.operation == "updateUser" and not roles & ADMINISTRATORS
    )
    if resigns:
        yield ".*", ".* must leave the customer an active administrator"


@rule("listCustomerUsers")
def a_long_list_has_pages(sent):
    if ("pagination", "false") in sent.query:
        yield "pagination", "pagination may be false for at most 1000 records: ask for pages"


def is_foreseen(sent, response):
    """Whether a good request was refused for a reason that no schema can say."""
    match response.status_code:
        case 400:
            return is_against_rules(sent, response)
        case 401:
            return sent.headers.get("authorization") != TOKEN
        case 403:
            return is_foreign(sent) or grants_more_than_the_caller_has(sent)
        case 404:
            # The id was invented.
            return sent.user is not None and sent.user not in USERS
        case 412:
            # Entity tags, none or one of which happens to be the user's present version.
            return "if-match" in sent.headers or "if-none-match" in sent.headers
        case 422:
            # The same key was sent with another request.
            return "idempotency-key" in sent.headers
    return False


def is_against_rules(sent, response):
    foreseen = [pair for operations, rule in RULES if not operations or sent.operation in operations for pair in rule(sent)]
    told = errors_of(response.json())
    return bool(told) and all(
        any(re.fullmatch(field, f, re.DOTALL) and re.fullmatch(message, m, re.DOTALL) for field, message in foreseen)
        for f, m in told
    )


def is_foreign(sent):
    company = text_of(sent.headers.get("current-company-id"))
    return sent.customer not in CUSTOMERS | {None} or company not in COMPANIES | {None}


def grants_more_than_the_caller_has(sent):
    # The caller is a company's administrator, rank 2; ROLE_ADMIN, the owner, has rank 3.
    body = members(sent.body)
    subrole = members(body.get("subrole"))
    roles = {authority["name"] for authority in body.get("authorities", [])}
    return "ROLE_ADMIN" in roles or subrole.get("code") == "owner" or text_of(subrole.get("id")) == SUBROLES["owner"]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    return not (isinstance(failure, RejectedPositiveData) and is_foreseen(sent_by(case, response), response))


@schemathesis.check
def foreign_customers_are_refused(ctx, response, case):
    """The caller's token is for the sandbox alone. Schemathesis's own check misses a server that shows everybody everything."""
    if response.request.method == case.operation.method.upper() and response.status_code < 400:
        assert not is_foreign(sent_by(case, response)), "a customer whom the token does not name was answered"


# Where an answer names users who are there. Schemathesis's own check of that, ensure_resource_availability, waits for
# requests that links fill in whole, optional headers included.
NAMED_USERS = {
    "createCustomerUser": lambda answer: [answer["data"]["user_id"]],
    "listCustomerUsers": lambda answer: [user["id"] for user in answer["data"]["records"]],
    "listUsers": lambda answer: [str(user["entityId"]) for user in answer],
}


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code == 200 and operation_id(case) in NAMED_USERS:
        USERS.update(NAMED_USERS[operation_id(case)](response.json()))


INVENTED = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Gives a good new user an e-mail that nobody has, and three of four good writes a key that no other has and no entity tags. Else
    most would be refused."""
    good = case.meta and case.meta.generation.mode.is_positive
    if good and case.headers and case.operation.method.upper() != "GET" and next(INVENTED) % 4:
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f"k{next(INVENTED)}"
        for condition in ("If-Match", "If-None-Match"):
            case.headers.pop(condition, None)
    if operation_id(case) == "createCustomerUser" and good:
        email = members(case.body).get("email", "")
        if 0 < len(email) < 240:
            case.body["email"] = f"{next(INVENTED)}.{email}"


def sent_by(case, response):
    request = response.request
    return Sent(
        operation=operation_id(case),
        path=case.path_parameters or {},
        query=parse_qsl(urlsplit(request.url).query, keep_blank_values=True),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=decoded(request.body),
    )


def decoded(body):
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


def operation_id(case):
    return case.operation.definition.raw["operationId"]


def errors_of(answer):
    """The single errors of an answer, in whichever dialect's envelope."""
    errors = answer.get("errors", members(answer.get("data")).get("errors", []))
    return [(e["field"], e["message"]) for e in errors]


# What If-Match and If-None-Match may hold. Without a format of its own, Schemathesis 4.32 finds no good value for a header
# whose pattern asks for other characters than letters and digits, and sends a bad one in requests that it takes for good.
ENTITY_TAGS = "entity-tags"
schemathesis.openapi.format(
    ENTITY_TAGS,
    st.lists(st.sampled_from(["*", '"1"', '"2"', 'W/"1"', '""', '"a,b"']), min_size=1, max_size=3)
    .map(lambda tags: "*" if "*" in tags else ", ".join(tags)),
)

# Some keys are used again and again, with other requests and with the same.
IDEMPOTENCY_KEYS = "idempotency-keys"
schemathesis.openapi.format(
    IDEMPOTENCY_KEYS, st.one_of(st.sampled_from(["a", '"a"', "b\\c", '"b\\\\c"', '"d\\"e"']), st.uuids().map(str))
)


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for parameter in raw_schema["components"]["parameters"].values():
        if parameter["name"] in ("If-Match", "If-None-Match"):
            parameter["schema"]["format"] = ENTITY_TAGS
        if parameter["name"] == "Idempotency-Key":
            parameter["schema"]["format"] = IDEMPOTENCY_KEYS
