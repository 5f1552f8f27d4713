package com.example;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

/** The program of server/docs/guide/sdk-java.md, which run puts where the compiler finds it. */
class GuideTest {
  @Test
  void programRuns() throws Exception {
    var said = new ByteArrayOutputStream();
    PrintStream out = System.out;
    System.setOut(new PrintStream(said, true, StandardCharsets.UTF_8));
    try {
      Program.main(new String[0]);
    } finally {
      System.setOut(out);
    }
    assertEquals("User details updated successfully\nAda King [surname]\n", said.toString(StandardCharsets.UTF_8).replace("\r", ""));
  }
}
