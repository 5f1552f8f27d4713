// Package limits checks OpenTelemetry's span limits before any package of OpenTelemetry's does: go.opentelemetry.io/auto/sdk (1.2), on
// which the API depends, reads them while the program is initialized, and writes bad values to standard error in a form of its own.
//
// Go initializes packages in the order of their import paths, as far as their imports allow. This package's path comes before
// OpenTelemetry's, and it imports nothing that OpenTelemetry does not import as well.
package limits

import (
	"os"
	"strconv"
	"strings"
)

// Variables are those of the span limits.
var Variables = []string{
	"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
	"OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
}

// Removed are those whose values were no whole numbers. They are no longer in the process's environment.
var Removed = remove()

func remove() (removed []string) {
	for _, name := range Variables {
		value := strings.TrimSpace(os.Getenv(name))
		if value == "" {
			continue
		}
		if n, err := strconv.ParseInt(value, 10, 32); err != nil || n < 0 {
			_ = os.Unsetenv(name) // fails on no system that we build for
			removed = append(removed, name)
			continue
		}
		_ = os.Setenv(name, value)
	}
	return removed
}
