// Package limits checks the variables of OpenTelemetry's span limits before OpenTelemetry reads them: go.opentelemetry.io/auto/sdk
// (1.2), on which the API depends, reads them during initialization, and prints invalid values to standard error.
//
// Go initializes packages in the order of their import paths, as far as imports allow. The path of this package precedes
// OpenTelemetry's, and its imports are among those of OpenTelemetry. It knows nothing of tracing.
package limits

import (
	"os"
	"strconv"
	"strings"
)

// Variables are the names of the variables.
var Variables = []string{
	"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
	"OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
}

// Removed are the names of the variables with invalid values, which were removed from the process's environment.
var Removed = remove()

func remove() (removed []string) {
	for _, name := range Variables {
		value := strings.TrimSpace(os.Getenv(name))
		if value == "" {
			continue
		}
		if n, err := strconv.ParseInt(value, 10, 32); err != nil || n < 0 {
			_ = os.Unsetenv(name) // does not fail on Unix and Windows
			removed = append(removed, name)
			continue
		}
		_ = os.Setenv(name, value)
	}
	return removed
}
