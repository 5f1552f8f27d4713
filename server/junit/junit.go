// Package junit writes reports of tests in JUnit's XML, with the elements that all of its readers know. It does not know what was
// tested.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"time"
)

// Suite is a report: a number of test cases and how many of them did not pass.
type Suite struct {
	Name       string     `xml:"name,attr"`
	Tests      int        `xml:"tests,attr"`
	Failures   int        `xml:"failures,attr"`
	Errors     int        `xml:"errors,attr"`
	Skipped    int        `xml:"skipped,attr"`
	Time       Seconds    `xml:"time,attr"`
	Timestamp  string     `xml:"timestamp,attr"` // when it began, as 2006-01-02T15:04:05 in UTC
	Properties []Property `xml:"properties>property"`
	Cases      []Case     `xml:"testcase"`
}

// Property is something else that is to be known of a suite.
type Property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// Case is a test. It passed if Failure, Error and Skipped are nil.
type Case struct {
	ClassName string  `xml:"classname,attr"`
	Name      string  `xml:"name,attr"`
	Time      Seconds `xml:"time,attr"`
	Failure   *Detail `xml:"failure"`
	Error     *Detail `xml:"error"`
	Skipped   *Detail `xml:"skipped"`
}

// Detail says why a test did not pass: in a line, and in full.
type Detail struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// Seconds is a duration that is written in seconds, such as 1.250.
type Seconds time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (s Seconds) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", time.Duration(s).Seconds()), nil
}

// Timestamp returns t as [Suite] has it.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") }

// Write writes a report of one suite.
func Write(w io.Writer, s Suite) error {
	document, err := xml.MarshalIndent(struct {
		XMLName xml.Name `xml:"testsuites"`
		Suite   Suite    `xml:"testsuite"`
	}{Suite: s}, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, document)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
