package com.example;

import com.example.worth.ApiException;
import com.example.worth.CustomersApi;
import com.example.worth.model.NewUser;
import com.example.worth.model.NewUserSubrole;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;

/** The server under test and the sandbox in it. {@code run} says by variables where it is, and with which tokens it may be asked. */
final class Sandbox {
  static final String WORTH = variable("SERVER_URL") + "/auth/api/v1";
  static final String TESTINIUM = variable("SERVER_URL") + "/account/api/v1";

  /** A token of the sandbox's administrator. */
  static final String MANAGER = variable("TOKEN_MANAGER");
  /** A token that may only read the sandbox. */
  static final String READER = variable("TOKEN_READER");
  /** What is no token. */
  static final String NOBODY = "nobody";

  static final UUID CUSTOMER = UUID.fromString("2e6438cb-ec3f-4e94-b5c9-8c058d2efaf1");
  static final long CUSTOMER_ID = 3393;
  static final long COMPANY = 5251;

  /** The highest id that the documents allow, 2^53-1. */
  static final long HIGHEST = 9007199254740991L;

  private static final AtomicInteger created = new AtomicInteger();

  private Sandbox() {}

  record Created(UUID id, String email) {}

  /** Creates a user whom nobody else changes, without a mobile number. */
  static Created createUser() throws ApiException {
    String email = "java." + ProcessHandle.current().pid() + "." + created.incrementAndGet() + "@example.com";
    var user = new NewUser().firstName("Mary").lastName("Jackson").email(email)
        .subrole(new NewUserSubrole().id("6351c76f-76a3-4950-9cc4-cc37cdc05ec2").code("risk_analyst").label("Risk Analyst"));
    var answer = new CustomersApi(WorthNativeTest.client(MANAGER)).createCustomerUser(CUSTOMER, user, null, null, null, null);
    return new Created(answer.getData().getUserId(), email);
  }

  private static String variable(String name) {
    String value = System.getenv(name);
    if (value == null || value.isEmpty()) {
      throw new IllegalStateException(name + " is not set: start the tests by .ci/java/run");
    }
    return value;
  }
}
