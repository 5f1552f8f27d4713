package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.testinium.ApiClient;
import com.example.testinium.ApiException;
import com.example.testinium.UsersApi;
import com.example.testinium.model.AuthorityReference;
import com.example.testinium.model.Error;
import com.example.testinium.model.FieldError;
import com.example.testinium.model.User;
import com.example.testinium.model.UserUpdate;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Testinium's API through the client that the generator makes for java.net.http. */
class TestiniumNativeTest {
  private static final UsersApi api = new UsersApi(client(Sandbox.MANAGER));
  private static final ObjectMapper json = ApiClient.createDefaultObjectMapper();

  private static ApiClient client(String token) {
    ApiClient client = new ApiClient();
    client.updateBaseUri(Sandbox.TESTINIUM);
    return client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + token));
  }

  /** A user whom nobody else changes, as the list shows them. */
  private static User createUser() throws Exception {
    String email = Sandbox.createUser().email();
    return api.listUsers(Sandbox.CUSTOMER_ID, Sandbox.COMPANY, null, null).stream()
        .filter(user -> email.equals(user.getEmail())).findFirst().orElseThrow();
  }

  @Test
  void putOfWhatGetShowed() throws Exception {
    var listed = createUser();
    var read = api.getUserWithHttpInfo(Sandbox.CUSTOMER_ID, listed.getEntityId(), Sandbox.COMPANY, null, null);
    assertNull(read.getData().getVcsPassword());
    assertEquals(listed.companyName(null), read.getData());

    // What the server owns is in the body, null or not, and strict handling does not mind.
    var update = json.convertValue(read.getData(), UserUpdate.class).surname("Winston");
    assertTrue(json.writeValueAsString(update).contains("\"userType\":null,"));
    var put = api.updateUserWithHttpInfo(Sandbox.CUSTOMER_ID, listed.getEntityId(), Sandbox.COMPANY, update,
        read.getHeaders().get("ETag").get(0), null, "handling=strict", null);
    assertEquals(read.getData().surname("Winston"), put.getData());
    assertEquals(List.of("surname"), put.getHeaders().get("Dragoman-Changed"));
    assertNull(put.getHeaders().get("Dragoman-Ignored"));
  }

  @Test
  void putOfExplicitNulls() throws Exception {
    var listed = createUser();
    var update = replaceable(listed)
        .userType(null).verificationToken(null).resetPasswordToken(null).entityId(null).password(null).newPassword(null)
        .accessToken(null).companyName(null).createdDate(null).customer(null).lastPasswordResetDate(null).vcsPassword(null)
        .authorities(List.of(new AuthorityReference().name("ROLE_USER").entityId(null).cleanName(null).checked(null).disabled(null)));
    String body = json.writeValueAsString(update);
    assertEquals(16, body.split(":null").length - 1, body);
    var put = api.updateUserWithHttpInfo(Sandbox.CUSTOMER_ID, listed.getEntityId(), Sandbox.COMPANY, update, null, null,
        "handling=strict", null);
    assertEquals(listed.getEntityId(), put.getData().getEntityId());
    assertEquals(listed.getCreatedDate(), put.getData().getCreatedDate());
    assertNull(put.getHeaders().get("Dragoman-Ignored"));
  }

  @Test
  void unchangedUserIsNotSentAgain() throws Exception {
    long id = createUser().getEntityId();
    var refusal = assertThrows(ApiException.class, () -> api.getUser(Sandbox.CUSTOMER_ID, id, Sandbox.COMPANY, null, "\"1\""));
    assertEquals(304, refusal.getCode());
    assertEquals("\"1\"", refusal.getResponseHeaders().firstValue("ETag").orElseThrow());
  }

  @Test
  void errorsHaveOneType() throws Exception {
    var listed = createUser();
    long id = listed.getEntityId();
    var update = replaceable(listed);

    var invalid = error(400, () -> put(api, id, replaceable(listed).email("mary").authorities(
        List.of(new AuthorityReference().name("ROLE_USER"), new AuthorityReference().name("ROLE_PILOT")))));
    assertEquals("INVALID_REQUEST", invalid.getMessage());
    assertEquals(400, invalid.getStatus());
    assertEquals(List.of("authorities.1.name", "email"), invalid.getErrors().stream().map(FieldError::getField).sorted().toList());

    assertEquals("UNAUTHORIZED", error(401, () -> put(new UsersApi(client(Sandbox.NOBODY)), id, update)).getMessage());
    assertEquals("ACCESS_DENIED", error(403, () -> put(new UsersApi(client(Sandbox.READER)), id, update)).getMessage());
    assertEquals("ACCESS_DENIED",
        error(403, () -> api.listUsers(Sandbox.CUSTOMER_ID, Sandbox.HIGHEST, null, null)).getMessage());
    var missing = error(404, () -> put(api, 1, update));
    assertEquals("USER_NOT_FOUND", missing.getMessage());
    assertEquals(List.of(), missing.getErrors());
    assertEquals("PRECONDITION_FAILED", error(412,
        () -> api.updateUser(Sandbox.CUSTOMER_ID, id, Sandbox.COMPANY, update, "\"2\"", null, null, null)).getMessage());
    assertEquals("PAYLOAD_TOO_LARGE", error(413, () -> put(api, id, replaceable(listed).name("M".repeat(1 << 18)))).getMessage());
  }

  @Test
  void highestIdIsExact() throws Exception {
    var missing = error(404, () -> api.getUser(Sandbox.CUSTOMER_ID, Sandbox.HIGHEST, Sandbox.COMPANY, null, null));
    assertEquals("/account/api/v1/customers/3393/users/9007199254740991", missing.getPath());
    var listed = createUser();
    var refused = error(400, () -> put(api, listed.getEntityId(), replaceable(listed).entityId(Sandbox.HIGHEST)));
    assertEquals(List.of("entityId"), refused.getErrors().stream().map(FieldError::getField).toList());
  }

  /** The nine members that a PUT must have. */
  private static UserUpdate replaceable(User user) {
    return new UserUpdate().name(user.getName()).surname(user.getSurname()).username(user.getUsername()).email(user.getEmail())
        .enabled(user.getEnabled()).accountNonExpired(user.getAccountNonExpired()).accountNonLocked(user.getAccountNonLocked())
        .credentialNonExpired(user.getCredentialNonExpired())
        .authorities(user.getAuthorities().stream().map(role -> new AuthorityReference().name(role.getName())).toList());
  }

  private static void put(UsersApi api, long id, UserUpdate update) throws ApiException {
    api.updateUser(Sandbox.CUSTOMER_ID, id, Sandbox.COMPANY, update, null, null, null, null);
  }

  private static Error error(int status, Executable call) throws Exception {
    var refusal = assertThrows(ApiException.class, call);
    assertEquals(status, refusal.getCode(), refusal.getMessage());
    return json.readValue(refusal.getResponseBody(), Error.class);
  }
}
