package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.example.worth.ApiClient;
import com.example.worth.ApiException;
import com.example.worth.CustomersApi;
import com.example.worth.model.Error;
import com.example.worth.model.FieldError;
import com.example.worth.model.UpdateCustomerUserRequestSubrole;
import com.example.worth.model.UpdateCustomerUserRequest;
import com.example.worth.model.UserState;
import java.util.List;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Worth's API through the client that the generator makes for java.net.http. */
class WorthNativeTest {
  private static final CustomersApi api = new CustomersApi(client(Sandbox.MANAGER));

  static ApiClient client(String token) {
    ApiClient client = new ApiClient();
    client.updateBaseUri(Sandbox.WORTH);
    return client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + token));
  }

  @Test
  void patchChangesWhatItNames() throws Exception {
    var user = Sandbox.createUser();
    var patched = api.updateCustomerUserWithHttpInfo(Sandbox.CUSTOMER.toString(), user.id().toString(),
        new UpdateCustomerUserRequest().firstName("Mary W.").status(UpdateCustomerUserRequest.StatusEnum.Active),
        null, null, "handling=strict", null);
    assertEquals("User details updated successfully", patched.getData().getMessage());
    assertEquals(List.of("first_name, status"), patched.getHeaders().get("Dragoman-Changed"));
    assertEquals(List.of("\"2\""), patched.getHeaders().get("ETag"));

    var read = api.getCustomerUser(Sandbox.CUSTOMER, user.id(), null, null).getData();
    assertEquals(user.id(), read.getId());
    assertEquals("Mary W.", read.getFirstName());
    assertEquals("Jackson", read.getLastName());
    assertEquals(user.email(), read.getEmail());
    assertNull(read.getMobile());
    assertEquals(UserState.Active, read.getStatus());
    assertEquals("risk_analyst", read.getSubrole().getCode());
    assertNull(read.getCompanyDetails().getContactNumber());
    assertNotNull(read.getUpdatedAt());
  }

  @Test
  void listHasPagesAndFilters() throws Exception {
    var user = Sandbox.createUser();
    var page = api.listCustomerUsers(Sandbox.CUSTOMER, null, null, 1L, 5L, null, null, "-created_at", null, null, null,
        user.email(), null, null, null, null, null, null, null, null, UserState.Invited, null).getData();
    assertEquals("1", page.getTotalItems());
    assertEquals(1L, page.getTotalPages());
    var record = page.getRecords().get(0);
    assertEquals(user.id(), record.getId());
    assertEquals(UserState.Invited, record.getStatus());
    assertNull(record.getMobile());
    assertNull(record.getExtAuthRefId());
  }

  @Test
  void subrolesCanBeGiven() throws Exception {
    var user = Sandbox.createUser();
    var cro = api.listCustomerSubroles(Sandbox.CUSTOMER, null, null).getData().stream()
        .filter(subrole -> subrole.getCode().equals("cro")).findFirst().orElseThrow();
    api.updateCustomerUser(Sandbox.CUSTOMER.toString(), user.id().toString(),
        new UpdateCustomerUserRequest().subrole(new UpdateCustomerUserRequestSubrole().id(cro.getId().toString())), null, null, null, null);
    var read = api.getCustomerUser(Sandbox.CUSTOMER, user.id(), null, null).getData();
    assertEquals("cro", read.getSubrole().getCode());
  }

  @Test
  void unchangedUserIsNotSentAgain() throws Exception {
    var user = Sandbox.createUser();
    var refusal = assertThrows(ApiException.class, () -> api.getCustomerUser(Sandbox.CUSTOMER, user.id(), null, "\"1\""));
    assertEquals(304, refusal.getCode());
    assertEquals("\"1\"", refusal.getResponseHeaders().firstValue("ETag").orElseThrow());
  }

  @Test
  void errorsHaveOneType() throws Exception {
    var user = Sandbox.createUser();
    var patch = new UpdateCustomerUserRequest().firstName("Mary");

    var invalid = error(400, () -> update(api, user.id(),
        new UpdateCustomerUserRequest().email("mary").subrole(new UpdateCustomerUserRequestSubrole().code("pilot"))));
    assertEquals("INVALID", invalid.getErrorCode());
    assertEquals("ValidationMiddlewareError", invalid.getData().getErrorName());
    assertEquals(List.of("email", "subrole.code"), invalid.getData().getErrors().stream().map(FieldError::getField).toList());

    assertEquals("fail", error(401, () -> update(new CustomersApi(client(Sandbox.NOBODY)), user.id(), patch)).getStatus());
    assertEquals("fail", error(403, () -> update(new CustomersApi(client(Sandbox.READER)), user.id(), patch)).getStatus());
    var missing = error(404, () -> update(api, UUID.randomUUID(), patch));
    assertEquals("Customer user does not exist", missing.getMessage());
    assertEquals(List.of(), missing.getData().getErrors());
    assertEquals("Customer user Not Found",
        error(404, () -> api.getCustomerUser(Sandbox.CUSTOMER, UUID.randomUUID(), null, null)).getMessage());
    assertEquals("fail", error(403, () -> api.listCustomerSubroles(UUID.randomUUID(), null, null)).getStatus());
    assertEquals("fail", error(412, () -> api.updateCustomerUser(Sandbox.CUSTOMER.toString(), user.id().toString(), patch,
        "\"2\"", null, null, null)).getStatus());
    assertEquals("fail", error(413, () -> update(api, user.id(), new UpdateCustomerUserRequest().firstName("M".repeat(1 << 18)))).getStatus());
  }

  private static void update(CustomersApi api, UUID user, UpdateCustomerUserRequest patch) throws ApiException {
    api.updateCustomerUser(Sandbox.CUSTOMER.toString(), user.toString(), patch, null, null, null, null);
  }

  private static Error error(int status, Executable call) throws Exception {
    var refusal = assertThrows(ApiException.class, call);
    assertEquals(status, refusal.getCode(), refusal.getMessage());
    return ApiClient.createDefaultObjectMapper().readValue(refusal.getResponseBody(), Error.class);
  }
}
