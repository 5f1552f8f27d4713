"""Python clients, made from the documents, against a running server.

`run` makes the clients, starts the server, and says by variables where both are and with which tokens the server may be
asked.
"""

import datetime
import functools
import http
import itertools
import os
import pathlib
import re
import subprocess
import sys
import unittest
import uuid

import testinium
import testinium.api.users.get_user
import testinium.api.users.list_users
import testinium.api.users.update_user
import testinium.models
import worth
import worth.api.customers.create_customer_user
import worth.api.customers.get_customer_user
import worth.api.customers.list_customer_subroles
import worth.api.customers.list_customer_users
import worth.api.customers.update_customer_user
import worth.models

URL = os.environ["SERVER_URL"]
MANAGER = os.environ["TOKEN_MANAGER"]
READER = os.environ["TOKEN_READER"]
ELSEWHERE = os.environ["TOKEN_ELSEWHERE"]

# The sandbox that `serve --dev` invents: its customer, by both ids, one of its companies, and one of its subroles.
CUSTOMER_UUID = uuid.UUID("2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1")
CUSTOMER = 3393
COMPANY = 5251
RISK_ANALYST = "6351c76f-76a3-4950-9cc4-cc37cdc05ec2"
# A user whom an import brought, with the highest id that one may bring, and with nothing that may be null.
EDGE = 2**52
# The highest id that there can be.
MAXIMUM = 2**53 - 1

numbers = itertools.count(1)


def opened(client):
    unittest.addModuleCleanup(client.get_httpx_client().close)
    return client


@functools.cache
def worth_api(token=MANAGER):
    # An answer that the document does not have raises UnexpectedStatus.
    return opened(
        worth.AuthenticatedClient(f"{URL}/auth/api/v1", token=token, raise_on_unexpected_status=True)
    )


@functools.cache
def testinium_api(token=MANAGER):
    return opened(
        testinium.AuthenticatedClient(f"{URL}/account/api/v1", token=token, raise_on_unexpected_status=True)
    )


def send_text(request):
    request.headers["Content-Type"] = "text/plain"


def create(api=None, **changes):
    """Sends a POST with a user whom nobody has yet, and gives the answer and the e-mail."""
    email = f"python.{os.getpid()}.{next(numbers)}@example.com"
    members = {"first_name": "Mary", "last_name": "Jackson", "email": email, "mobile": "+1 757 555 0100"} | changes
    subrole = worth.models.NewUserSubrole(id=RISK_ANALYST, code="risk_analyst", label="Risk Analyst")
    answer = worth.api.customers.create_customer_user.sync_detailed(
        CUSTOMER_UUID, client=api or worth_api(), body=worth.models.NewUser(**members, subrole=subrole)
    )
    return answer, members["email"]


class Case(unittest.TestCase):
    def assert_error(self, answer, model, status):
        """Fails unless an answer is an error, as the document types it, and gives the error."""
        self.assertEqual(answer.status_code, status)
        self.assertIs(type(answer.parsed), model)
        # The document names every member of an error.
        self.assertEqual(answer.parsed.additional_properties, {})
        return answer.parsed


class Worth(Case):
    def created(self):
        answer, email = create()
        self.assertEqual(answer.status_code, http.HTTPStatus.OK, answer.content)
        return answer.parsed.data.user_id, email

    def get(self, user, api=None, **parameters):
        return worth.api.customers.get_customer_user.sync_detailed(
            CUSTOMER_UUID, user, client=api or worth_api(), **parameters
        )

    def update(self, user, api=None, customer=CUSTOMER_UUID, parameters=None, **members):
        return worth.api.customers.update_customer_user.sync_detailed(
            str(customer),
            str(user),
            client=api or worth_api(),
            body=worth.models.UpdateCustomerUserBody(**members),
            **(parameters or {}),
        )

    def list(self, api=None, **parameters):
        return worth.api.customers.list_customer_users.sync_detailed(
            CUSTOMER_UUID, client=api or worth_api(), **parameters
        )

    def assert_error(self, answer, status):
        return super().assert_error(answer, worth.models.Error, status)

    def test_update_changes_one_member(self):
        user, email = self.created()
        before = self.get(user).parsed.data
        answer = self.update(user, first_name="Mary W.")
        self.assertIs(type(answer.parsed), worth.models.UpdateCustomerUserResponse200)
        self.assertEqual(answer.parsed.message, "User details updated successfully")
        self.assertEqual(answer.headers["Dragoman-Changed"], "first_name")
        after = self.get(user).parsed.data
        self.assertGreaterEqual(after.updated_at, before.updated_at)
        before.first_name, before.updated_at, before.updated_by = "Mary W.", after.updated_at, after.updated_by
        self.assertEqual(after, before)

    def test_update_of_nothing_new(self):
        user, _ = self.created()
        answer = self.update(user, first_name="Mary")
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(answer.headers["Dragoman-Changed"], "")

    def test_get_types(self):
        user, email = self.created()
        answer = self.get(user)
        self.assertIs(type(answer.parsed), worth.models.GetCustomerUserResponse200)
        data = answer.parsed.data
        self.assertEqual((data.id, data.email), (user, email))
        self.assertIs(data.status, worth.models.UserState.INVITED)
        self.assertEqual(data.created_at.utcoffset(), datetime.timedelta(0))
        self.assertEqual(data.company_details.id, CUSTOMER_UUID)
        self.assertEqual((data.subrole.code, data.subrole.role_id), ("risk_analyst", 2))
        self.assertEqual(data.additional_properties, {})

    def test_nulls(self):
        page = self.list(email="edge.case@example.com").parsed.data
        self.assertEqual((page.total_items, page.total_pages, len(page.records)), ("1", 1, 1))
        record = page.records[0]
        self.assertEqual(
            (record.mobile, record.subrole, record.created_by, record.ext_auth_ref_id), (None, None, None, None)
        )
        data = self.get(record.id).parsed.data
        self.assertEqual((data.mobile, data.subrole, data.created_by), (None, None, None))
        self.assertIsNone(data.company_details.contact_number)

    def test_list(self):
        user, email = self.created()
        answer = self.list(
            page=1, items_per_page=5, email=email, search_filterstatus=worth.models.UserState.INVITED
        )
        self.assertIs(type(answer.parsed), worth.models.ListCustomerUsersResponse200)
        self.assertEqual([record.id for record in answer.parsed.data.records], [user])
        page = self.list(items_per_page=2, sort="-created_at").parsed.data
        self.assertEqual(len(page.records), 2)
        self.assertGreaterEqual(page.records[0].created_at, page.records[1].created_at)

    def test_subroles(self):
        user, _ = self.created()
        offered = worth.api.customers.list_customer_subroles.sync_detailed(CUSTOMER_UUID, client=worth_api())
        cro = next(subrole for subrole in offered.parsed.data if subrole.code == "cro")
        answer = self.update(user, subrole=worth.models.UpdateCustomerUserBodySubrole(id=str(cro.id)))
        self.assertEqual(answer.status_code, 200)
        self.assertEqual(self.get(user).parsed.data.subrole.display_name, cro.display_name)

    def test_not_modified(self):
        user, _ = self.created()
        read = self.get(user)
        answer = self.get(user, if_none_match=read.headers["ETag"])
        self.assertEqual(answer.status_code, http.HTTPStatus.NOT_MODIFIED)
        self.assertEqual(answer.headers["ETag"], read.headers["ETag"])
        # A 304 has no content: the generator's type of that is None.
        self.assertIsNone(answer.parsed)
        self.assertEqual(self.list(if_none_match="*").status_code, http.HTTPStatus.NOT_MODIFIED)

    def test_precondition_failed(self):
        user, _ = self.created()
        tag = self.get(user).headers["ETag"]
        first = self.update(user, parameters={"if_match": tag}, first_name="First")
        self.assertEqual(first.status_code, 200)
        self.assertNotEqual(first.headers["ETag"], tag)
        self.assert_error(self.update(user, parameters={"if_match": tag}, first_name="Second"), 412)
        self.assert_error(self.get(user, if_match=tag), 412)
        self.assertEqual(self.get(user, if_match=first.headers["ETag"]).parsed.data.first_name, "First")

    def test_errors(self):
        user, email = self.created()
        error = self.assert_error(self.update(user, email="mary", first_name="x" * 256), 400)
        self.assertEqual(sorted(e.field for e in error.data.errors), ["email", "first_name"])
        for token in ("no.jwt.atall", MANAGER + "x"):
            answer = self.update(user, worth_api(token), first_name="Nobody")
            self.assertEqual(self.assert_error(answer, 401).error_code, "ERR_UNAUTHORIZED")
            self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Bearer"))
        for token in (READER, ELSEWHERE):
            answer = self.update(user, worth_api(token), first_name="Nobody")
            self.assertEqual(self.assert_error(answer, 403).error_code, "ERR_FORBIDDEN")
        nobody = uuid.UUID("1cf29daf-e5ce-4ccd-ac7a-9aba8a5b600c")
        self.assertEqual(self.assert_error(self.get(nobody), 404).message, "Customer user Not Found")
        answer = self.update(nobody, first_name="Nobody")
        self.assertEqual(self.assert_error(answer, 404).message, "Customer user does not exist")
        self.assert_error(self.get(user, worth_api("no.jwt.atall")), 401)
        self.assert_error(self.get(user, worth_api(ELSEWHERE)), 403)
        self.assert_error(self.list(worth_api("no.jwt.atall")), 401)
        self.assert_error(self.list(worth_api(ELSEWHERE)), 403)
        self.assert_error(self.list(items_per_page=1001), 400)
        taken, _ = create(email=email.upper())
        self.assertEqual(
            self.assert_error(taken, 400).message, "Another customer user exists with the same email."
        )
        self.assert_error(self.update(user, first_name="x" * 300_000), 413)
        with worth.AuthenticatedClient(
            f"{URL}/auth/api/v1", token=MANAGER, httpx_args={"event_hooks": {"request": [send_text]}}
        ) as api:
            self.assert_error(self.update(user, api, first_name="Nobody"), 415)
        self.assertEqual(self.get(user).parsed.data.first_name, "Mary")

    def test_strict_handling(self):
        user, _ = self.created()
        body = worth.models.UpdateCustomerUserBody(first_name="Strict")
        body["nickname"] = "unknown"

        def update(**parameters):
            return worth.api.customers.update_customer_user.sync_detailed(
                str(CUSTOMER_UUID), str(user), client=worth_api(), body=body, **parameters
            )

        error = self.assert_error(update(prefer="handling=strict"), 400)
        self.assertEqual([e.field for e in error.data.errors], ["nickname"])
        self.assertEqual(update().headers["Dragoman-Ignored"], "nickname")


class Testinium(Case):
    def listed(self):
        """Gives a user whom nobody else changes, as the list shows them."""
        _, email = create()
        return next(user for user in self.list().parsed if user.email == email)

    def get(self, user, api=None, customer=CUSTOMER, company=COMPANY, **parameters):
        return testinium.api.users.get_user.sync_detailed(
            customer, user, client=api or testinium_api(), current_company_id=company, **parameters
        )

    def list(self, api=None, customer=CUSTOMER, company=COMPANY, **parameters):
        return testinium.api.users.list_users.sync_detailed(
            customer, client=api or testinium_api(), current_company_id=company, **parameters
        )

    def update(self, user, body, api=None, customer=CUSTOMER, company=COMPANY, **parameters):
        return testinium.api.users.update_user.sync_detailed(
            customer, user, client=api or testinium_api(), current_company_id=company, body=body, **parameters
        )

    def body(self, user, **members):
        """Gives what puts back a user who was read, with some members changed."""
        return testinium.models.UserUpdate.from_dict(user.to_dict() | members)

    def assert_error(self, answer, status, message):
        error = super().assert_error(answer, testinium.models.Error, status)
        self.assertEqual((error.status, error.message), (status, message))
        return error

    def test_update_changes_one_member(self):
        listed = self.listed()
        read = self.get(listed.entity_id).parsed
        answer = self.update(listed.entity_id, self.body(read, surname="Winston Jackson"))
        self.assertEqual(answer.headers["Dragoman-Changed"], "surname")
        self.assertNotIn("Dragoman-Ignored", answer.headers)
        read.surname = "Winston Jackson"
        self.assertEqual(answer.parsed, read)
        self.assertEqual(self.get(listed.entity_id).parsed, read)

    def test_nulls(self):
        listed = self.listed()
        read = self.get(listed.entity_id).parsed
        for user in (listed, read):
            self.assertEqual(
                (user.user_type, user.password, user.new_password, user.last_password_reset_date, user.vcs_password),
                (None, None, None, None, None),
            )
        # A null in the list of the roles, and null for what may be left out.
        self.assertEqual([role.clean_name for role in read.authorities], [None] * len(read.authorities))
        answer = self.update(
            read.entity_id, self.body(read, entityId=None, customer=None, createdDate=None, password=None, newPassword=None)
        )
        self.assertEqual((answer.status_code, answer.parsed), (200, read))

    def test_not_modified(self):
        user = self.listed().entity_id
        read = self.get(user)
        answer = self.get(user, if_none_match=read.headers["ETag"])
        self.assertEqual(answer.status_code, http.HTTPStatus.NOT_MODIFIED)
        self.assertEqual(answer.headers["ETag"], read.headers["ETag"])
        # A 304 has no content: the generator's type of that is None.
        self.assertIsNone(answer.parsed)
        self.assertEqual(self.list(if_none_match="*").status_code, http.HTTPStatus.NOT_MODIFIED)

    def test_precondition_failed(self):
        user = self.listed()
        tag = self.get(user.entity_id).headers["ETag"]
        first = self.update(user.entity_id, self.body(user, name="First"), if_match=tag)
        self.assertEqual(first.status_code, 200)
        second = self.update(user.entity_id, self.body(user, name="Second"), if_match=tag)
        self.assert_error(second, 412, "PRECONDITION_FAILED")
        self.assert_error(self.get(user.entity_id, if_match=tag), 412, "PRECONDITION_FAILED")
        self.assertEqual(self.get(user.entity_id, if_match=first.headers["ETag"]).parsed.name, "First")

    def test_errors(self):
        user = self.listed()
        wrong = self.body(user, email="mary", authorities=[{"name": "ROLE_USER"}, {"name": "ROLE_PILOT"}])
        error = self.assert_error(self.update(user.entity_id, wrong), 400, "INVALID_REQUEST")
        self.assertEqual(sorted(e.field for e in error.errors), ["authorities.1.name", "email"])
        body = self.body(user)
        nobody = testinium_api("no.jwt.atall")
        self.assert_error(self.update(user.entity_id, body, nobody), 401, "UNAUTHORIZED")
        self.assert_error(self.get(user.entity_id, nobody), 401, "UNAUTHORIZED")
        self.assert_error(self.list(nobody), 401, "UNAUTHORIZED")
        for token in (READER, ELSEWHERE):
            self.assert_error(self.update(user.entity_id, body, testinium_api(token)), 403, "ACCESS_DENIED")
        self.assert_error(self.get(user.entity_id, testinium_api(ELSEWHERE)), 403, "UNAUTHORIZED_ACCESS")
        self.assert_error(self.list(testinium_api(ELSEWHERE)), 403, "ACCESS_DENIED")
        self.assert_error(self.get(1), 404, "USER_NOT_FOUND")
        large = self.body(user, vcsPassword="x" * 300_000)
        self.assert_error(self.update(user.entity_id, large), 413, "PAYLOAD_TOO_LARGE")
        with testinium.AuthenticatedClient(
            f"{URL}/account/api/v1", token=MANAGER, httpx_args={"event_hooks": {"request": [send_text]}}
        ) as api:
            self.assert_error(self.update(user.entity_id, body, api), 415, "UNSUPPORTED_MEDIA_TYPE")
        self.assertEqual(self.get(user.entity_id).parsed.name, "Mary")

    def test_highest_ids(self):
        read = self.get(EDGE)
        self.assertEqual(read.parsed.entity_id, EDGE)
        answer = self.update(EDGE, self.body(read.parsed, surname="Put"))
        self.assertEqual((answer.parsed.entity_id, answer.parsed.surname), (EDGE, "Put"))
        self.assertEqual([user.entity_id for user in self.list().parsed if user.entity_id >= EDGE][0], EDGE)
        # Ids are given from the bottom up, so that nobody has the highest; it arrives and comes back as it is.
        error = self.assert_error(self.get(MAXIMUM), 404, "USER_NOT_FOUND")
        self.assertTrue(error.path.endswith("/9007199254740991"), error.path)
        body = self.body(read.parsed, entityId=MAXIMUM)
        self.assert_error(self.update(MAXIMUM, body), 404, "USER_NOT_FOUND")
        error = self.assert_error(self.update(EDGE, body), 400, "INVALID_REQUEST")
        self.assertEqual([e.field for e in error.errors], ["entityId"])
        self.assert_error(self.get(EDGE, customer=MAXIMUM), 403, "UNAUTHORIZED_ACCESS")
        self.assert_error(self.get(EDGE, company=MAXIMUM), 403, "UNAUTHORIZED_ACCESS")


class Guide(unittest.TestCase):
    def test_program(self):
        guide = pathlib.Path(__file__).parents[2] / "server/docs/guide/sdk-python.md"
        (program,) = re.findall(r"^```python\n(.*?)^```$", guide.read_text(), re.DOTALL | re.MULTILINE)
        done = subprocess.run(
            [sys.executable, "-c", program.replace("http://127.0.0.1:8080", URL)],
            cwd=os.environ["CLIENTS"],
            env=os.environ | {"TOKEN": MANAGER},
            capture_output=True,
            text=True,
        )
        self.assertEqual(
            (done.returncode, done.stdout, done.stderr),
            (0, "User details updated successfully\nAda King surname\n", ""),
        )


if __name__ == "__main__":
    unittest.main()
