package webhook

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/dragoman-id/dragoman/store"
)

// The types of events.
const (
	TypeCreated = "user.created"
	TypeChanged = "user.changed"
	TypeErased  = "user.erased"
)

// event is the body of a delivery. It has no values: a receiver reads the user, by its own rights, if it needs them.
type event struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"` // of the change
	Data      data   `json:"data"`
}

type data struct {
	Number       int64     `json:"number"` // in the change feed
	Customer     int64     `json:"customer"`
	CustomerUUID uuid.UUID `json:"customerUuid"`
	User         int64     `json:"user"`
	UserUUID     uuid.UUID `json:"userUuid"`
	Version      int64     `json:"version"`
	Dialect      string    `json:"dialect"`
	Operation    string    `json:"operation"`
	Changed      []string  `json:"changed"` // names of fields, of the model
}

// encode returns the id and the body of the delivery of a change. They are the same for each attempt.
func encode(c *store.WebhookChange) (id string, body []byte, err error) {
	e := event{Type: TypeChanged, Timestamp: c.At.Format(store.TimeLayout), Data: data{
		c.Number, c.CustomerID, c.CustomerUUID, c.UserID, c.UserUUID, c.Version, c.Dialect, c.Operation, make([]string, len(c.Fields)),
	}}
	switch {
	case c.Erased():
		e.Type = TypeErased
	case c.Created():
		e.Type = TypeCreated
	}
	for i, f := range c.Fields {
		e.Data.Changed[i] = string(f.Field)
	}
	if body, err = json.Marshal(e); err != nil {
		return "", nil, fmt.Errorf("encoding change %d: %w", c.Number, err)
	}
	return fmt.Sprintf("chg_%d", c.Number), body, nil
}
