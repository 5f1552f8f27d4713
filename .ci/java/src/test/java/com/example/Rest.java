package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.function.Executable;
import org.springframework.http.client.JdkClientHttpRequestFactory;
import org.springframework.web.client.RestClientResponseException;
import org.springframework.web.client.RestTemplate;
import org.springframework.web.util.DefaultUriBuilderFactory;
import org.springframework.web.util.DefaultUriBuilderFactory.EncodingMode;

/** What the tests of both Spring clients share. */
final class Rest {
  private Rest() {}

  /**
   * A template as the guide has it, which keeps the bodies that it sent. It can send a PATCH, which
   * java.net.HttpURLConnection cannot, and leaves the names of parameters as the generated code has encoded them.
   */
  static RestTemplate template(List<String> bodies) {
    RestTemplate template = new RestTemplate(new JdkClientHttpRequestFactory());
    var uris = new DefaultUriBuilderFactory();
    uris.setEncodingMode(EncodingMode.VALUES_ONLY);
    template.setUriTemplateHandler(uris);
    template.getInterceptors().add((request, body, execution) -> {
      bodies.add(new String(body, StandardCharsets.UTF_8));
      return execution.execute(request, body);
    });
    return template;
  }

  static RestTemplate template() {
    return template(new ArrayList<>());
  }

  /** The body, in the one type of errors, of a call that is refused with this status. */
  static <E> E error(int status, Class<E> type, Executable call) {
    var refusal = assertThrows(RestClientResponseException.class, call);
    assertEquals(status, refusal.getStatusCode().value(), refusal.getMessage());
    return refusal.getResponseBodyAs(type);
  }
}
