package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.example.spring.testinium.ApiClient;
import com.example.spring.testinium.UsersApi;
import com.example.spring.testinium.model.AuthorityReference;
import com.example.spring.testinium.model.Error;
import com.example.spring.testinium.model.FieldError;
import com.example.spring.testinium.model.User;
import com.example.spring.testinium.model.UserUpdate;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.springframework.web.client.RestClientException;
import org.springframework.web.client.RestTemplate;

/** Testinium's API through the client that the generator makes for Spring's RestTemplate. */
class TestiniumSpringTest {
  private static final UsersApi api = api(Sandbox.MANAGER, Rest.template());

  private static UsersApi api(String token, RestTemplate template) {
    ApiClient client = new ApiClient(template).setBasePath(Sandbox.TESTINIUM);
    client.setBearerToken(token);
    return new UsersApi(client);
  }

  /** A user whom nobody else changes, as the list shows them. */
  private static User createUser() throws Exception {
    String email = Sandbox.createUser().email();
    return api.listUsers(Sandbox.CUSTOMER_ID, Sandbox.COMPANY, null, null).stream()
        .filter(user -> email.equals(user.getEmail())).findFirst().orElseThrow();
  }

  @Test
  void putWritesNullForWhatWasNotSet() throws Exception {
    var listed = createUser();
    long id = listed.getEntityId();
    var read = api.getUserWithHttpInfo(Sandbox.CUSTOMER_ID, id, Sandbox.COMPANY, null, null);
    assertEquals(listed.companyName(null), read.getBody());

    List<String> bodies = new ArrayList<>();
    var put = api(Sandbox.MANAGER, Rest.template(bodies)).updateUserWithHttpInfo(Sandbox.CUSTOMER_ID, id, Sandbox.COMPANY,
        replaceable(listed).surname("Winston"), read.getHeaders().getETag(), null, "handling=strict", null);
    for (String member : List.of("userType", "entityId", "password", "newPassword", "accessToken", "createdDate", "customer",
        "lastPasswordResetDate", "vcsPassword", "cleanName", "checked")) {
      assertTrue(bodies.get(0).contains("\"" + member + "\":null"), member + ": " + bodies.get(0));
    }
    assertEquals(read.getBody().surname("Winston"), put.getBody());
    assertEquals("surname", put.getHeaders().getFirst("Dragoman-Changed"));
    assertFalse(put.getHeaders().containsKey("Dragoman-Ignored"));
    assertEquals("\"2\"", put.getHeaders().getETag());
  }

  @Test
  void unchangedUserIsNotSentAgain() throws Exception {
    long id = createUser().getEntityId();
    // The generated client takes 304 for an answer that RestTemplate should have thrown.
    var refusal = assertThrows(RestClientException.class, () -> api.getUser(Sandbox.CUSTOMER_ID, id, Sandbox.COMPANY, null, "\"1\""));
    assertTrue(refusal.getMessage().contains("304"), refusal.getMessage());
  }

  @Test
  void errorsHaveOneType() throws Exception {
    var listed = createUser();
    long id = listed.getEntityId();
    var update = replaceable(listed);

    var invalid = Rest.error(400, Error.class, () -> put(api, id, replaceable(listed).email("mary")
        .authorities(List.of(new AuthorityReference().name("ROLE_USER"), new AuthorityReference().name("ROLE_PILOT")))));
    assertEquals("INVALID_REQUEST", invalid.getMessage());
    assertEquals(List.of("authorities.1.name", "email"), invalid.getErrors().stream().map(FieldError::getField).sorted().toList());

    var nobody = api(Sandbox.NOBODY, Rest.template());
    var reader = api(Sandbox.READER, Rest.template());
    assertEquals("UNAUTHORIZED", Rest.error(401, Error.class, () -> put(nobody, id, update)).getMessage());
    assertEquals("ACCESS_DENIED", Rest.error(403, Error.class, () -> put(reader, id, update)).getMessage());
    assertEquals("USER_NOT_FOUND", Rest.error(404, Error.class, () -> put(api, 1, update)).getMessage());
    assertEquals("PRECONDITION_FAILED", Rest.error(412, Error.class,
        () -> api.updateUser(Sandbox.CUSTOMER_ID, id, Sandbox.COMPANY, update, "\"2\"", null, null, null)).getMessage());
    assertEquals("PAYLOAD_TOO_LARGE", Rest.error(413, Error.class,
        () -> put(api, id, replaceable(listed).name("M".repeat(1 << 18)))).getMessage());
  }

  @Test
  void highestIdIsExact() throws Exception {
    var missing = Rest.error(404, Error.class,
        () -> api.getUser(Sandbox.CUSTOMER_ID, Sandbox.HIGHEST, Sandbox.COMPANY, null, null));
    assertEquals("/account/api/v1/customers/3393/users/9007199254740991", missing.getPath());
    var listed = createUser();
    var refused = Rest.error(400, Error.class, () -> put(api, listed.getEntityId(), replaceable(listed).entityId(Sandbox.HIGHEST)));
    assertEquals(List.of("entityId"), refused.getErrors().stream().map(FieldError::getField).toList());
  }

  /** The nine members that a PUT must have. */
  private static UserUpdate replaceable(User user) {
    return new UserUpdate().name(user.getName()).surname(user.getSurname()).username(user.getUsername()).email(user.getEmail())
        .enabled(user.getEnabled()).accountNonExpired(user.getAccountNonExpired()).accountNonLocked(user.getAccountNonLocked())
        .credentialNonExpired(user.getCredentialNonExpired())
        .authorities(user.getAuthorities().stream().map(role -> new AuthorityReference().name(role.getName())).toList());
  }

  private static void put(UsersApi api, long id, UserUpdate update) {
    api.updateUser(Sandbox.CUSTOMER_ID, id, Sandbox.COMPANY, update, null, null, null, null);
  }
}
