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

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.openapi.checks import RejectedPositiveData

# The sandbox, as the calling administrator sees it.
CUSTOMERS = {"3393", "2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1"}
COMPANIES = {"5251", "5267"}
# Those whom the server has named are added.
USERS = {"6860", "94520740-d63c-4e02-85ca-c4e138801e73", "6861", "0cfecc31-e3f4-4fce-9a27-f36ea6256a10"}
with open(os.environ["DRAGOMAN_TOKENS"], encoding="utf-8") as file:
    TOKENS = {user["name"]: user["fixedHeaders"][0]["value"] for user in json.load(file)["auth"]}
TOKEN, PLATFORM = TOKENS["sandbox"], TOKENS["platform"]
# What no administrator of a customer may do.
PLATFORMS = {"eraseUser"}

GRACE_HOPPER = "0cfecc31-e3f4-4fce-9a27-f36ea6256a10"

# What there is that requests have made, by the parameter of a path that names it: the ids of each, in the order of creation.
MADE = {"webhookId": {}, "tokenId": {}}
# How one is made: the path, the body, and the path of its id in the answer.
MAKING = {
    "webhookId": ("/webhooks", {"url": "https://hooks.example.com/", "customer": 3393}, ("webhook", "id")),
    "tokenId": ("/customers/3393/provisioning-tokens", {}, ("id",)),
}
# How many there are at most; a customer may have a few more.
MOST = 40
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
USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
UNIQUE = {"userName", "emails", "externalId"}
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
SCHEMAS = {
    "createUser": USER_SCHEMA, "replaceUser": USER_SCHEMA, "createGroup": GROUP_SCHEMA, "replaceGroup": GROUP_SCHEMA,
    "patchUser": "urn:ietf:params:scim:api:messages:2.0:PatchOp", "patchGroup": "urn:ietf:params:scim:api:messages:2.0:PatchOp",
    "searchUsers": "urn:ietf:params:scim:api:messages:2.0:SearchRequest", "searchAll": "urn:ietf:params:scim:api:messages:2.0:SearchRequest",
}
# Filters of users and groups, and operations of a PATCH, that keep to grammars that the document tells in words.
FILTERS = {
    'displayName eq "ROLE_USER"', 'id pr and not (externalId eq "00u1")', 'meta.resourceType ne "x" or displayName sw "a"',
    'urn:ietf:params:scim:schemas:core:2.0:User:userName co "a"', 'emails[type eq "work"].value eq x@example.com',
}
FILTERS_OF_USERS = {f for f in FILTERS if f.startswith(("urn:", "emails"))}
OPERATIONS = {
    "patchUser": [
        {"op": "replace", "value": {"active": True}},
        {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+44 20 7946 0000"},
        {"op": "Replace", "path": 'roles[primary eq "True"].value', "value": "ROLE_USER"},
        {"op": "add", "value": {"name.givenName": "Augusta", "urn:ietf:params:scim:schemas:core:2.0:User:displayName": "Augusta"}},
        {"op": "remove", "path": "name.familyName"},
        {"op": "remove", "path": "title"},
    ],
    "patchGroup": [
        {"op": "replace", "path": "members", "value": [{"value": "94520740-d63c-4e02-85ca-c4e138801e73"}]},
        {"op": "Add", "path": "members", "value": [{"value": "94520740-d63c-4e02-85ca-c4e138801e73"}]},
        {"op": "remove", "path": 'members[value eq "94520740-d63c-4e02-85ca-c4e138801e73"]'},
        {"op": "Remove", "path": "members", "value": [{"value": "00000000-0000-4000-8000-000000000000"}]},
    ],
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


def names(value):
    """The name of every member in a JSON value."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from names(member)
    elif isinstance(value, list):
        for item in value:
            yield from names(item)


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


@rule("updateCustomerUser", "createCustomerUser", "updateUser", "createUser", "replaceUser")
def emails_and_usernames_are_unique(sent):
    # Over the whole platform, so it depends on all users that there are. SCIM has a status for it, unless something else is wrong too.
    if "email" in members(sent.body):
        yield "email", "Another customer user exists with the same email\\.|email is already taken by another user"
    if "username" in members(sent.body):
        yield "username", "username is already taken by another user"
    for member in UNIQUE & members(sent.body).keys():
        yield member, f"{member} is already taken"


def is_invisible(c):
    """Whether Unicode ignores it by default, or it is a control or format character, or a blank symbol."""
    return unicodedata.category(c) in {"Cc", "Cf"} or any(
        first <= ord(c) <= last
        for first, last in (
            (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2065, 0x2065), (0x2800, 0x2800), (0x3164, 0x3164),
            (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1D159, 0x1D159), (0xE0000, 0xE0FFF),
        )
    )


@rule("updateCustomerUser", "createCustomerUser", "updateUser", "createUser", "replaceUser")
def names_can_be_seen(sent):
    # A pattern that says it would be longer than the rest of the document.
    for member in ("email", "username", "userName", "emails"):
        if any(map(is_invisible, "".join(texts(members(sent.body).get(member))))):
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


@rule("replaceUser", "patchUser", "deleteUser", "replaceGroup", "patchGroup")
def a_customer_keeps_an_administrator_by_scim(sent):
    # Of a group it depends on who else is an administrator.
    if sent.user == GRACE_HOPPER or unquote(str(sent.path.get("group"))) in ADMINISTRATORS:
        yield "active|roles", "(active|roles) must leave the customer an active administrator"


@rule(*SCHEMAS)
def schemas_have_the_urn_of_the_body(sent):
    # An array can say what all of its items are, and not what one of them is.
    urn = SCHEMAS[sent.operation]
    if urn.lower() not in (str(s).lower() for s in members(sent.body).get("schemas", [])):
        yield "schemas", f"schemas must have {urn}"


@rule("createUser", "replaceUser")
def booleans_may_be_text(sent):
    # "oneOf: [boolean, text]" would spoil the generated types.
    body = members(sent.body)
    named = [("active", body.get("active"))]
    named += [
        (f"{name}\\.{i}\\.primary", item.get("primary"))
        for name in ("emails", "phoneNumbers") for i, item in enumerate(body.get(name) or [])
    ]
    for name, value in named:
        if str(value).lower() not in ("none", "true", "false"):
            yield name, f"{name} must be true or false"


@rule("createUser", "replaceUser")
def roles_are_the_directorys(sent):
    for i, role in enumerate(members(sent.body).get("roles") or []):
        if role["value"] not in ROLES:
            yield f"roles\\.{i}\\.value", f"roles\\.{i}\\.value is not a role: .*"


@rule("listUsers", "listGroups", "searchUsers", "searchAll")
def filters_have_a_grammar(sent):
    for filter in asked(sent, "filter"):
        if filter not in FILTERS or filter in FILTERS_OF_USERS and sent.operation == "listGroups":
            yield "filter", "filter is invalid at character [0-9]+: .*"


@rule("listUsers", "listGroups", "searchUsers", "searchAll")
def pages_are_asked_for_by_index_or_by_cursor(sent):
    for cursor in asked(sent, "cursor"):
        if cursor:
            yield "cursor", "cursor must be empty.*"
        if any(int(count) < 1 for count in asked(sent, "count")):
            yield "count", "count must be at least 1 beside cursor"
        if asked(sent, "startIndex"):
            yield "startIndex", "startIndex and cursor exclude each other.*"


def asked(sent, name):
    """The values of a parameter of a list, in the query or in the body of a search."""
    values = [value for key, value in sent.query if key == name] + [members(sent.body).get(name)]
    return [value for value in values if value is not None]


@rule("patchUser", "patchGroup")
def operations_have_a_grammar(sent):
    for i, operation in enumerate(members(sent.body).get("Operations", [])):
        if operation not in OPERATIONS[sent.operation]:
            # What an operation makes of a user is an error of the user's attributes.
            yield ".*", ".*"


@rule("replaceGroup")
def groups_are_the_directorys_roles(sent):
    if sent.body.get("displayName") != unquote(str(sent.path.get("group"))):
        yield "displayName", "displayName must be the name of the role, which cannot be changed"
    for i, member in enumerate(sent.body.get("members") or []):
        if text_of(member["value"]) not in USERS:
            yield f"members\\.{i}\\.value", f"members\\.{i}\\.value is no user of the customer"


@rule("eraseUser")
def an_erasure_leaves_an_administrator_and_no_name(sent):
    yield "Status", "Status must leave the customer an active administrator"
    if any(name == "reason" for name, _ in sent.query):
        yield "reason", "reason must not have a value that the user has or had, as it is kept"


@rule("listCustomerUsers")
def a_long_list_has_pages(sent):
    if ("pagination", "false") in sent.query:
        yield "pagination", "pagination may be false for at most 1000 records: ask for pages"


@rule("listProvisioningTokens")
def a_page_comes_after_another(sent):
    yield "after", "after must be the next of an earlier answer"


@rule("createProvisioningToken")
def a_token_is_for_a_role_and_a_time(sent):
    if members(sent.body).get("role") not in ROLES:
        yield "role", "role is not a role: .*"
    if "expiresAt" in members(sent.body):
        yield "expiresAt", "expiresAt must be .*"


@rule("createWebhook")
def a_url_can_be_delivered_to(sent):
    # A pattern that says all of it would be a parser of URLs.
    yield "url", "url must be an https URL with a host, .*"


@rule("createWebhook", "replayWebhook")
def a_replay_begins_within_the_feed(sent):
    if members(sent.body).get("from") is not None:
        yield "from", "from must be between 1 and \\d+, the number of the next change"


@rule("createWebhook")
def a_customer_has_so_many_webhooks(sent):
    yield "customer", "customer has 50 webhooks, which is the maximum: remove one"


@rule("rotateWebhookSecret")
def a_webhook_has_so_many_secrets(sent):
    yield "secrets", "secrets are 5, which is the maximum: wait until one expires"


def is_foreseen(sent, response):
    """Whether a good request was refused for a reason that no schema can say."""
    match response.status_code:
        case 400:
            return is_against_rules(sent, response)
        case 401:
            return sent.headers.get("authorization") not in (TOKEN, PLATFORM)
        case 403:
            return is_foreign(sent) or grants_more_than_the_caller_has(sent) or would_change_the_roles(sent) or webhook_of_another(sent)
        case 404:
            return is_invented(sent)
        case 409:
            return is_taken(sent, response)
        case 412:
            # Entity tags, none or one of which happens to be the user's present version.
            return "if-match" in sent.headers or "if-none-match" in sent.headers
        case 422:
            # The same key was sent with another request.
            return "idempotency-key" in sent.headers
    return False


def is_against_rules(sent, response):
    foreseen = [pair for operations, rule in RULES if not operations or sent.operation in operations for pair in rule(sent)]
    told = errors_of(response.json(), sent)
    return bool(told) and all(
        any(re.fullmatch(field, f, re.DOTALL) and re.fullmatch(message, m, re.DOTALL) for field, message in foreseen)
        for f, m in told
    )


def is_invented(sent):
    """Whether the path has an id that nothing has, or a user who is not of the customer, whom the platform's administrator may name."""
    known = {"group": ROLES, "schema": {USER_SCHEMA}, "resourceType": {"User"}}
    for parameter, there in MADE.items():
        if parameter in sent.path:
            return text_of(sent.path[parameter]) not in there
    return sent.user is not None and (sent.user not in USERS or sent.operation in PLATFORMS and is_foreign(sent)) or any(
        unquote(str(value)) not in known[name] for name, value in sent.path.items() if name in known
    )


def is_taken(sent, response):
    """Whether another user has a value that must be unique, over the whole platform but for externalId, or a role the group's name."""
    fields = {"createGroup": {"displayName"}}.get(sent.operation, UNIQUE)
    return sent.operation in ("createUser", "replaceUser", "patchUser", "createGroup") and all(
        message == f"{field} is already taken" and field in fields for field, message in errors_of(response.json(), sent)
    )


def would_change_the_roles(sent):
    # The roles are the directory's. A caller of rank 2 cannot grant ROLE_ADMIN.
    return sent.operation in ("createGroup", "deleteGroup") or unquote(str(sent.path.get("group"))) == "ROLE_ADMIN"


def is_foreign(sent):
    company = text_of(sent.headers.get("current-company-id"))
    return sent.customer not in CUSTOMERS | {None} or company not in COMPANIES | {None}


def webhook_of_another(sent):
    return sent.operation == "createWebhook" and text_of(members(sent.body).get("customer")) not in CUSTOMERS


def grants_more_than_the_caller_has(sent):
    # The caller is a company's administrator, rank 2; ROLE_ADMIN, the owner, has rank 3.
    body = members(sent.body)
    subrole = members(body.get("subrole"))
    roles = {authority["name"] for authority in body.get("authorities", [])} | {role["value"] for role in body.get("roles") or []}
    return "ROLE_ADMIN" in roles | {body.get("role")} or subrole.get("code") == "owner" or text_of(subrole.get("id")) == SUBROLES["owner"]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    return not (isinstance(failure, RejectedPositiveData) and is_foreseen(sent_by(case, response), response))


@schemathesis.check
def foreign_customers_are_refused(ctx, response, case):
    """The caller's token is for the sandbox alone. Schemathesis's own check misses a server that shows everybody everything."""
    if response.request.method == case.operation.method.upper() and response.status_code < 400:
        assert not is_foreign(sent_by(case, response)), "a customer whom the token does not name was answered"


SCIM_TYPES = {
    400: {
        "invalidFilter", "invalidPath", "invalidSyntax", "invalidValue", "mutability", "noTarget", "tooMany", "invalidCursor", "invalidCount",
    },
    409: {"uniqueness"},
}


@schemathesis.check
def scim_errors_have_the_documented_type(ctx, response, case):
    """RFC 7644, section 3.12, and RFC 9865. A schema can list the types, and not say with which status each is."""
    if "/scim/v2/" in response.request.url and response.status_code >= 400 and response.request.method != "HEAD":
        error = response.json()
        documented = SCIM_TYPES.get(response.status_code, {None})
        assert error.get("scimType") in documented, f"scimType is {error.get('scimType')}"
        assert error["status"] == str(response.status_code), "status is not that of the answer"


# Where an answer names users who are there. Schemathesis's own check of that, ensure_resource_availability, waits for
# requests that links fill in whole, optional headers included.
NAMED_USERS = {
    "createCustomerUser": lambda answer: [answer["data"]["user_id"]],
    "listCustomerUsers": lambda answer: [user["id"] for user in answer["data"]["records"]],
    "listUsers": lambda answer: (
        [str(user["entityId"]) for user in answer] if isinstance(answer, list) else [user["id"] for user in answer["Resources"]]
    ),
    "createUser": lambda answer: [answer["id"]],
}


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code in (200, 201) and operation_id(case) in NAMED_USERS:
        USERS.update(NAMED_USERS[operation_id(case)](response.json()))
    if response.status_code == 204 and operation_id(case) == "deleteUser":
        # The other dialects go on showing the user, which no rule is about.
        USERS.discard(sent_by(case, response).user)
    for parameter, (path, _, at) in MAKING.items():
        name = case.operation.path.removeprefix("/dry-run").removeprefix("/directory/v1")
        if "Dragoman-Dry-Run" in response.headers:
            continue
        if response.status_code == 201 and name.replace("{id}", "3393") == path:
            note(parameter, response.json(), at)
        if response.status_code == 204 and name.replace("{id}", "3393") == f"{path}/{{{parameter}}}":
            MADE[parameter].pop(text_of(case.path_parameters[parameter]), None)


def note(parameter, answer, at):
    for name in at:
        answer = answer[name]
    MADE[parameter][str(answer)] = True


def make(base_url, parameter):
    """Makes a thing, and removes the oldest if there are very many."""
    path, body, at = MAKING[parameter]
    while len(MADE[parameter]) >= MOST:
        oldest = next(iter(MADE[parameter]))
        del MADE[parameter][oldest]
        requests.delete(f"{base_url}{path}/{oldest}", headers={"Authorization": TOKEN}, timeout=30).raise_for_status()
    answer = requests.post(base_url + path, json=body, headers={"Authorization": TOKEN}, timeout=30)
    answer.raise_for_status()
    note(parameter, answer.json(), at)


INVENTED = itertools.count(1)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Gives a good new user an e-mail that nobody has, three of four good writes a key that no other has and no entity tags, and the
    platform's operations its token. Else most would be refused."""
    if operation_id(case) in PLATFORMS and case.headers and case.headers.get("Authorization") == TOKEN:
        case.headers["Authorization"] = PLATFORM
    good = case.meta and case.meta.generation.mode.is_positive
    if good and case.headers and case.operation.method.upper() != "GET" and next(INVENTED) % 4:
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f"k{next(INVENTED)}"
        for condition in ("If-Match", "If-None-Match"):
            case.headers.pop(condition, None)
    for parameter in MADE:
        if good and parameter in (case.path_parameters or {}) and next(INVENTED) % 4:
            # One that is there.
            make(case.operation.base_url, parameter)
            case.path_parameters[parameter] = list(MADE[parameter])[-1]
    for parameter, operation in (("webhookId", "createWebhook"), ("tokenId", "createProvisioningToken")):
        if good and operation_id(case) == operation and len(MADE[parameter]) >= MOST:
            make(case.operation.base_url, parameter)
    if operation_id(case) == "createCustomerUser" and good:
        email = members(case.body).get("email", "")
        if 0 < len(email) < 240:
            case.body["email"] = f"{next(INVENTED)}.{email}"
    if "/scim/v2" in case.operation.base_url and good and next(INVENTED) % 4:
        improve(case)


def improve(case):
    """Makes of a good request of SCIM one that also keeps to what the document says in words."""
    operation, body, query = operation_id(case), members(case.body), case.query or {}
    if operation in SCHEMAS and "schemas" in body:
        body["schemas"] = [SCHEMAS[operation]]
    if operation in OPERATIONS:
        body["Operations"] = [OPERATIONS[operation][next(INVENTED) % len(OPERATIONS[operation])]]
    for asked in (body, query) if operation in ("listUsers", "listGroups", "searchUsers", "searchAll") else ():
        if asked.get("cursor"):
            asked["cursor"] = ""
            for other in ("startIndex", "count"):
                asked.pop(other, None)
    if operation in ("createUser", "replaceUser"):
        body["active"] = next(INVENTED) % 3 > 0
        for role in body.get("roles") or []:
            role["value"] = "ROLE_USER"
        for item in (body.get("emails") or []) + (body.get("phoneNumbers") or []):
            item["primary"] = "True"
    if operation == "createUser":
        new = next(INVENTED)
        if "userName" in body:
            body["userName"] = f"{new}.{body['userName'][:200]}"
        if body.get("externalId"):
            body["externalId"] = f"{new}.{body['externalId'][:200]}"
        for email in body.get("emails") or []:
            if len(email["value"]) < 240:
                email["value"] = f"{new}.{email['value']}"
    if operation == "replaceGroup":
        body["displayName"] = unquote(str(case.path_parameters["group"]))
        for member in body.get("members") or []:
            member["value"] = "94520740-d63c-4e02-85ca-c4e138801e73"
    if operation == "deleteUser":
        case.path_parameters["userID"] = newcomer(case)


def newcomer(case):
    """Creates a user to be deleted."""
    new = f"newcomer{next(INVENTED)}"
    answer = requests.post(
        f"{case.operation.base_url}/{case.path_parameters['customerID']}/Users", timeout=30, headers={"Authorization": TOKEN},
        json={"schemas": [USER_SCHEMA], "userName": new, "emails": [{"value": f"{new}@example.com"}]},
    )
    return answer.json().get("id", new)


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


def errors_of(answer, sent):
    """The single errors of an answer, in whichever dialect's envelope."""
    if "scimType" in answer:
        detail = answer["detail"]
        for name in names(sent.body):
            if ";" in name:  # which is also what separates the sentences
                detail = detail.replace(name[:64], "name")
        return [(sentence.split(" ")[0], sentence) for sentence in detail.split("; ")]
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
