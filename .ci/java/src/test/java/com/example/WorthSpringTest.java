package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.spring.worth.ApiClient;
import com.example.spring.worth.CustomersApi;
import com.example.spring.worth.model.Error;
import com.example.spring.worth.model.FieldError;
import com.example.spring.worth.model.UpdateCustomerUserRequestSubrole;
import com.example.spring.worth.model.UpdateCustomerUserRequest;
import com.example.spring.worth.model.UserState;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.springframework.web.client.RestClientException;
import org.springframework.web.client.RestTemplate;

/** Worth's API through the client that the generator makes for Spring's RestTemplate. */
class WorthSpringTest {
  private static final CustomersApi api = api(Sandbox.MANAGER, Rest.template());

  private static CustomersApi api(String token, RestTemplate template) {
    ApiClient client = new ApiClient(template).setBasePath(Sandbox.WORTH);
    client.setBearerToken(token);
    return new CustomersApi(client);
  }

  @Test
  void patchChangesWhatItNames() throws Exception {
    var user = Sandbox.createUser();
    List<String> bodies = new ArrayList<>();
    var patched = api(Sandbox.MANAGER, Rest.template(bodies)).updateCustomerUserWithHttpInfo(Sandbox.CUSTOMER.toString(),
        user.id().toString(), new UpdateCustomerUserRequest().firstName("Mary W.").status(UpdateCustomerUserRequest.StatusEnum.Active),
        null, null, "handling=strict", null);
    assertEquals(List.of("{\"first_name\":\"Mary W.\",\"status\":\"ACTIVE\"}"), bodies);
    assertEquals("User details updated successfully", patched.getBody().getMessage());
    assertEquals("first_name, status", patched.getHeaders().getFirst("Dragoman-Changed"));
    assertEquals("\"2\"", patched.getHeaders().getETag());

    var read = api.getCustomerUser(Sandbox.CUSTOMER, user.id(), null, null).getData();
    assertEquals(user.id(), read.getId());
    assertEquals("Mary W.", read.getFirstName());
    assertNull(read.getMobile());
    assertEquals(UserState.Active, read.getStatus());
    assertEquals("risk_analyst", read.getSubrole().getCode());
  }

  @Test
  void listHasPagesAndFilters() throws Exception {
    var user = Sandbox.createUser();
    var page = api.listCustomerUsers(Sandbox.CUSTOMER, null, null, 1L, 5L, null, null, "-created_at", null, null, null,
        user.email(), null, null, null, null, null, null, null, null, UserState.Invited, null).getData();
    assertEquals("1", page.getTotalItems());
    assertEquals(user.id(), page.getRecords().get(0).getId());
    assertNull(page.getRecords().get(0).getExtAuthRefId());
  }

  @Test
  void unchangedUserIsNotSentAgain() throws Exception {
    var user = Sandbox.createUser();
    // The generated client takes 304 for an answer that RestTemplate should have thrown.
    var refusal = assertThrows(RestClientException.class, () -> api.getCustomerUser(Sandbox.CUSTOMER, user.id(), null, "\"1\""));
    assertTrue(refusal.getMessage().contains("304"), refusal.getMessage());
  }

  @Test
  void errorsHaveOneType() throws Exception {
    var user = Sandbox.createUser();
    var patch = new UpdateCustomerUserRequest().firstName("Mary");

    var invalid = Rest.error(400, Error.class, () -> update(api, user.id(),
        new UpdateCustomerUserRequest().email("mary").subrole(new UpdateCustomerUserRequestSubrole().code("pilot"))));
    assertEquals("INVALID", invalid.getErrorCode());
    assertEquals("ValidationMiddlewareError", invalid.getData().getErrorName());
    assertEquals(List.of("email", "subrole.code"), invalid.getData().getErrors().stream().map(FieldError::getField).toList());

    var nobody = api(Sandbox.NOBODY, Rest.template());
    var reader = api(Sandbox.READER, Rest.template());
    assertEquals("fail", Rest.error(401, Error.class, () -> update(nobody, user.id(), patch)).getStatus());
    assertEquals("fail", Rest.error(403, Error.class, () -> update(reader, user.id(), patch)).getStatus());
    assertEquals("Customer user does not exist",
        Rest.error(404, Error.class, () -> update(api, UUID.randomUUID(), patch)).getMessage());
    assertEquals("fail", Rest.error(412, Error.class, () -> api.updateCustomerUser(Sandbox.CUSTOMER.toString(),
        user.id().toString(), patch, "\"2\"", null, null, null)).getStatus());
    assertEquals("fail", Rest.error(413, Error.class,
        () -> update(api, user.id(), new UpdateCustomerUserRequest().firstName("M".repeat(1 << 18)))).getStatus());
  }

  private static void update(CustomersApi api, UUID user, UpdateCustomerUserRequest patch) {
    api.updateCustomerUser(Sandbox.CUSTOMER.toString(), user.toString(), patch, null, null, null, null);
  }
}
