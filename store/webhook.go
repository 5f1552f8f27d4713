package store

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/dragoman-id/dragoman/store/engine"
)

// Webhook is an endpoint that receives changes by HTTP: a place in the change feed, and what became of the last deliveries. The server
// that delivers to it holds a lease: Worker names it, and it increases Beat as long as it works.
type Webhook struct {
	ID          int64 // positive and below 2^53
	CustomerID  int64 // whose changes; AllCustomers for those of all
	URL         string
	CreatedAt   time.Time  `gorm:"serializer:epochms;autoCreateTime:false"`
	Revision    int64      // counts what was done to the endpoint other than delivering
	DisabledAt  *time.Time `gorm:"serializer:epochms"` // nil: it is enabled
	DisabledFor string     // why it is disabled
	Position    int64      // the number of the last change that was delivered
	Attempts    int64      // how often the delivery of the next one has failed
	NextAt      *time.Time `gorm:"serializer:epochms"` // not to be tried again before; nil: at once
	AttemptedAt *time.Time `gorm:"serializer:epochms"` // nil: never
	DeliveredAt *time.Time `gorm:"serializer:epochms"` // nil: never
	Answer      string     // to the last attempt: a status, or what was wrong
	Worker      string     // empty: none
	Beat        int64
}

// AllCustomers is the CustomerID of a [Webhook] for the changes of all customers.
const AllCustomers = 0

const (
	// MaxWebhookURLLength is the maximum length of an endpoint's URL in bytes.
	MaxWebhookURLLength = 2048
	// MaxWebhooks is how many endpoints a customer may have, and how many there may be for the changes of all customers.
	MaxWebhooks = 50
	// MaxWebhookSecrets is how many secrets an endpoint may have at once.
	MaxWebhookSecrets = 5
	// webhookSecretPrefix precedes a secret in its text form, as Standard Webhooks has it.
	webhookSecretPrefix = "whsec_"
	// webhookSecretBytes is the length of a new secret.
	webhookSecretBytes = 32
)

// The names of a webhook's members in [FieldErrors].
const (
	FieldWebhookURL      Field = "url"
	FieldWebhookCustomer Field = "customer"
	FieldWebhookFrom     Field = "from"
	FieldWebhookSecrets  Field = "secrets"
)

// NewWebhook is an endpoint to be added.
type NewWebhook struct {
	CustomerID int64 // AllCustomers: those of all
	URL        string
	// From is the number of the first change to deliver; nil: what is written from now on.
	From *int64
	// AllowHTTP permits a URL without TLS.
	AllowHTTP bool
}

// CheckWebhookURL returns what is wrong with the URL of an endpoint, a predicate, and "" if nothing is. The addresses of its host are
// judged when they are dialled.
func CheckWebhookURL(text string, allowHTTP bool) string {
	scheme := "must be an https URL with a host, without a user and without a fragment"
	if allowHTTP {
		scheme = strings.Replace(scheme, "an https URL", "an https or http URL", 1)
	}
	if len(text) > MaxWebhookURLLength {
		return fmt.Sprintf("must have at most %d bytes", MaxWebhookURLLength)
	}
	u, err := url.Parse(text)
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == utf8.RuneError }
	switch {
	case err != nil, strings.ContainsFunc(text, odd), u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "", u.User != nil, strings.Contains(text, "#"):
		return scheme
	case u.Scheme == "http" && !allowHTTP:
		return scheme + ", unless --webhook-allow-http (DRAGOMAN_WEBHOOK_ALLOW_HTTP) is set"
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "must have a port between 1 and 65535, or none"
		}
	}
	return ""
}

var insertWebhooks = newInsertion("webhooks", "id", "customer_id", "url", "created_at", "revision", "disabled_for", "position", "attempts", "answer", "worker", "beat")

var insertWebhookSecrets = newInsertion("webhook_secrets", "webhook_id", "id", "sealed")

// AddWebhook adds an endpoint, and returns it and its secret, which nothing returns again. The error is a *[FieldErrors] if something is
// invalid, or if there are [MaxWebhooks] already; or ErrUnavailable.
func (s *Store) AddWebhook(ctx context.Context, n NewWebhook) (w Webhook, secret string, err error) {
	w, secret, p, err := s.PrepareAddWebhook(ctx, n)
	if err != nil {
		return Webhook{}, "", err
	}
	defer p.Close()
	if _, err := p.run(ctx, p.step); err != nil {
		return Webhook{}, "", err
	}
	return w, secret, nil
}

// PrepareAddWebhook prepares [Store.AddWebhook], and returns what that would return. Other endpoints cannot be added until Commit or Close.
func (s *Store) PrepareAddWebhook(ctx context.Context, n NewWebhook) (w Webhook, secret string, p *Prepared, err error) {
	p = &Prepared{s: s}
	if p.tx, p.end, err = s.begin(ctx); err != nil {
		return Webhook{}, "", nil, err
	}
	defer func() {
		if err != nil {
			p.Close()
			p = nil
		}
	}()
	// The first one locks out those who would exceed the maximum together.
	id, err := takeIDs(p.tx, webhookIDs, 1)
	if err != nil {
		return Webhook{}, "", p, databaseError(ctx, "generating an id", err)
	}
	if w, err = s.checkNewWebhook(ctx, p.tx, n); err != nil {
		return Webhook{}, "", p, err
	}
	w.ID = id
	key, secret := newWebhookSecret()
	p.step = engine.Step{Statements: []engine.SQL{
		insertWebhooks.of([]any{w.ID, w.CustomerID, w.URL, w.CreatedAt.UnixMilli(), w.Revision, "", w.Position, 0, "", "", 0}),
		insertWebhookSecrets.of([]any{w.ID, 1, s.keys.sealWebhookSecret(w.ID, 1, key)}),
	}}
	return w, secret, p, nil
}

// PreviewAddWebhook returns what AddWebhook would return at the moment, without an ID, and with a secret that signs nothing. It writes
// nothing.
func (s *Store) PreviewAddWebhook(ctx context.Context, n NewWebhook) (w Webhook, secret string, err error) {
	if w, err = s.checkNewWebhook(ctx, s.read.WithContext(ctx), n); err != nil {
		return Webhook{}, "", err
	}
	_, secret = newWebhookSecret()
	return w, secret, nil
}

// checkNewWebhook returns the endpoint to add, without an ID.
func (s *Store) checkNewWebhook(ctx context.Context, db *gorm.DB, n NewWebhook) (Webhook, error) {
	var wrong FieldErrors
	wrong.add(FieldWebhookURL, CheckWebhookURL(n.URL, n.AllowHTTP))
	var known, endpoints int64
	err := db.Model(&Customer{}).Where("id = ?", n.CustomerID).Count(&known).Error
	if err == nil {
		err = db.Model(&Webhook{}).Where("customer_id = ?", n.CustomerID).Count(&endpoints).Error
	}
	if err != nil {
		return Webhook{}, databaseError(ctx, "checking a new webhook", err)
	}
	switch {
	case n.CustomerID != AllCustomers && known == 0:
		wrong.add(FieldWebhookCustomer, "must be a customer of the directory")
	case endpoints >= MaxWebhooks:
		wrong.add(FieldWebhookCustomer, fmt.Sprintf("has %d webhooks, which is the maximum: remove one", endpoints))
	}
	position, reason, err := positionBefore(ctx, db, n.From)
	if err != nil {
		return Webhook{}, err
	}
	wrong.add(FieldWebhookFrom, reason)
	if err := wrong.errorOrNil(); err != nil {
		return Webhook{}, fmt.Errorf("adding webhook: %w", err)
	}
	return Webhook{CustomerID: n.CustomerID, URL: n.URL, CreatedAt: s.now(), Revision: 1, Position: position}, nil
}

// positionBefore returns the position of an endpoint to which the change with number from is to be delivered next, the next one of the feed
// if from is nil. reason is what is wrong with from, or "".
func positionBefore(ctx context.Context, db *gorm.DB, from *int64) (position int64, reason string, err error) {
	if err := db.Raw(selectPublished).Scan(&position).Error; err != nil {
		return 0, "", databaseError(ctx, "reading the feed", err)
	}
	switch {
	case from == nil:
		return position, "", nil
	case *from < 1 || *from > position+1:
		return 0, fmt.Sprintf("must be between 1 and %d, the number of the next change", position+1), nil
	}
	return *from - 1, "", nil
}

// WebhookEdit is what an administrator does to an endpoint. The zero value changes nothing.
type WebhookEdit struct {
	apply   func(w *Webhook, now time.Time) // nil: nothing
	from    *int64                          // the first change to deliver; nil: the place in the feed stays
	overlap *time.Duration                  // a new secret is added, and the current one is used that long; nil: none is
	remove  bool
}

// RotateWebhookSecret gives the endpoint a new secret. Deliveries are signed with the current one, too, during overlap.
func RotateWebhookSecret(overlap time.Duration) WebhookEdit {
	return WebhookEdit{overlap: &overlap}
}

// DisableWebhook ends deliveries. The endpoint keeps its place in the feed.
func DisableWebhook() WebhookEdit {
	return WebhookEdit{apply: func(w *Webhook, now time.Time) {
		if w.DisabledAt == nil {
			w.Disable(now, "by an administrator")
		}
	}}
}

// ReplayWebhook enables the endpoint, and delivers the changes from a number on, again if need be, or continues where the deliveries ended
// if from is nil. A delivery that has failed is tried at once.
func ReplayWebhook(from *int64) WebhookEdit {
	return WebhookEdit{from: from, apply: func(w *Webhook, _ time.Time) {
		w.DisabledAt, w.DisabledFor, w.Attempts, w.NextAt = nil, "", 0, nil
	}}
}

// RemoveWebhook removes the endpoint and its secrets.
func RemoveWebhook() WebhookEdit { return WebhookEdit{remove: true} }

// Disable sets what a disabled endpoint has.
func (w *Webhook) Disable(at time.Time, reason string) {
	at = inMillis(at)
	w.DisabledAt, w.DisabledFor, w.NextAt = &at, reason, nil
}

// EditWebhook edits the endpoint of the scope with this id, and returns what it is then, and its new secret if there is one. The error is
// ErrNotFound if there is none; a *[FieldErrors] if the edit is invalid; ErrBusy; or ErrUnavailable.
func (s *Store) EditWebhook(ctx context.Context, scope FeedScope, id int64, edit WebhookEdit) (w Webhook, secret string, err error) {
	for range maxAttempts {
		var p *Prepared
		w, secret, p, err = s.PrepareEditWebhook(ctx, scope, id, edit)
		if err != nil {
			return Webhook{}, "", err
		}
		changed, err := s.db.Run(ctx, p.step)
		if err != nil {
			return Webhook{}, "", databaseError(ctx, "changing webhook", err)
		}
		if changed > 0 {
			return w, secret, nil
		}
	}
	return Webhook{}, "", s.GiveUp(ctx)
}

// PrepareEditWebhook prepares [Store.EditWebhook], and returns what that would return.
func (s *Store) PrepareEditWebhook(ctx context.Context, scope FeedScope, id int64, edit WebhookEdit) (w Webhook, secret string, p *Prepared, err error) {
	const doing = "changing webhook"
	w, err = s.FindWebhook(ctx, scope, id)
	if err != nil {
		return Webhook{}, "", nil, err
	}
	var secrets []webhookSecret
	if err := s.read.WithContext(ctx).Where("webhook_id = ?", id).Order("id").Find(&secrets).Error; err != nil {
		return Webhook{}, "", nil, databaseError(ctx, doing, err)
	}
	before := w.Revision
	w.Revision++
	step := engine.Step{Key: -id, Alone: true}
	if edit.remove {
		step.Statements = []engine.SQL{
			{Text: "DELETE FROM webhooks WHERE id = ? AND revision = ?", Arguments: []any{id, before}},
			{Text: "DELETE FROM webhook_secrets WHERE webhook_id = ?", Arguments: []any{id}},
		}
		return w, "", &Prepared{s: s, step: step}, nil
	}
	if edit.apply != nil {
		edit.apply(&w, s.now())
	}
	// A deliverer that has the endpoint finds that its revision is another.
	update := engine.SQL{
		Text:      "UPDATE webhooks SET revision = ?, disabled_at = ?, disabled_for = ?, attempts = ?, next_at = ?",
		Arguments: []any{w.Revision, epochMillis(w.DisabledAt), w.DisabledFor, w.Attempts, epochMillis(w.NextAt)},
	}
	if edit.from != nil {
		var reason string
		if w.Position, reason, err = positionBefore(ctx, s.read.WithContext(ctx), edit.from); err != nil {
			return Webhook{}, "", nil, err
		}
		if reason != "" {
			return Webhook{}, "", nil, fmt.Errorf("%s: %w", doing, &FieldErrors{{FieldWebhookFrom, reason}})
		}
		update.Text += ", position = ?"
		update.Arguments = append(update.Arguments, w.Position)
	}
	update.Text += " WHERE id = ? AND revision = ?"
	update.Arguments = append(update.Arguments, id, before)
	step.Statements = []engine.SQL{update}
	if edit.overlap != nil {
		var more []engine.SQL
		if secret, more, err = s.rotation(id, secrets, *edit.overlap); err != nil {
			return Webhook{}, "", nil, fmt.Errorf("%s: %w", doing, err)
		}
		step.Statements = append(step.Statements, more...)
	}
	return w, secret, &Prepared{s: s, step: step}, nil
}

// FindWebhook returns the endpoint of the scope with this id, or ErrNotFound.
func (s *Store) FindWebhook(ctx context.Context, scope FeedScope, id int64) (Webhook, error) {
	found, err := s.webhooks(ctx, scope, func(db *gorm.DB) *gorm.DB { return db.Where("id = ?", id) })
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("finding webhook: %w", ErrNotFound)
	}
	if err != nil {
		return Webhook{}, err
	}
	return found[0], nil
}

// Webhooks returns the endpoints of the scope, by ascending ID. Those for the changes of all customers are only in the scope of all.
func (s *Store) Webhooks(ctx context.Context, scope FeedScope) ([]Webhook, error) {
	return s.webhooks(ctx, scope, func(db *gorm.DB) *gorm.DB { return db })
}

// WebhooksAfter returns up to limit endpoints of the scope with IDs greater than after, by ascending ID.
func (s *Store) WebhooksAfter(ctx context.Context, scope FeedScope, after int64, limit int) ([]Webhook, error) {
	return s.webhooks(ctx, scope, func(db *gorm.DB) *gorm.DB { return db.Where("id > ?", after).Limit(limit) })
}

// EnabledWebhooks returns the endpoints that are not disabled.
func (s *Store) EnabledWebhooks(ctx context.Context) ([]Webhook, error) {
	return s.webhooks(ctx, FeedScope{All: true}, func(db *gorm.DB) *gorm.DB { return db.Where("disabled_at IS NULL") })
}

func (s *Store) webhooks(ctx context.Context, scope FeedScope, which func(*gorm.DB) *gorm.DB) (found []Webhook, err error) {
	const doing = "reading webhooks"
	db := s.read.WithContext(ctx)
	query := which(db)
	if !scope.All {
		customers, err := scope.customers(db)
		if err != nil {
			return nil, databaseError(ctx, doing, err)
		}
		query = query.Where("customer_id IN ? AND customer_id <> ?", customers, AllCustomers)
	}
	err = query.Order("id").Find(&found).Error
	return found, databaseErrorOrNil(ctx, doing, err)
}

// ClaimWebhook gives the lease of an endpoint to a worker, if the endpoint is still as it was read. It returns whether it did; w has the
// worker then. Whether an earlier worker is gone is for the caller to decide.
func (s *Store) ClaimWebhook(ctx context.Context, w *Webhook, worker string) (bool, error) {
	changed, err := s.db.Run(ctx, engine.Step{Key: -w.ID, Statements: []engine.SQL{{
		Text:      "UPDATE webhooks SET worker = ?, beat = beat + 1 WHERE id = ? AND worker = ? AND beat = ? AND revision = ? AND disabled_at IS NULL",
		Arguments: []any{worker, w.ID, w.Worker, w.Beat, w.Revision},
	}}})
	if err != nil {
		return false, databaseError(ctx, "claiming a webhook", err)
	}
	if changed == 0 {
		return false, nil
	}
	w.Worker = worker
	w.Beat++
	return true, nil
}

// SaveWebhook saves what became of deliveries, and renews the lease of w.Worker, or ends it if release is true or if w is disabled. It
// returns false, and saves nothing, if the worker does not have the lease any more, or if the endpoint was changed since it was read.
func (s *Store) SaveWebhook(ctx context.Context, w Webhook, release bool) (saved bool, err error) {
	worker := w.Worker
	ended := int64(0)
	if w.DisabledAt != nil {
		ended, release = 1, true
	}
	if release {
		worker = ""
	}
	changed, err := s.db.Run(ctx, engine.Step{Key: -w.ID, Statements: []engine.SQL{{
		Text: "UPDATE webhooks SET position = ?, attempts = ?, next_at = ?, attempted_at = ?, delivered_at = ?, answer = ?, disabled_at = ?, disabled_for = ?, " +
			"revision = revision + ?, worker = ?, beat = beat + 1 WHERE id = ? AND worker = ? AND revision = ?",
		Arguments: []any{
			w.Position, w.Attempts, epochMillis(w.NextAt), epochMillis(w.AttemptedAt), epochMillis(w.DeliveredAt), w.Answer, epochMillis(w.DisabledAt), w.DisabledFor,
			ended, worker, w.ID, w.Worker, w.Revision,
		},
	}}})
	return changed > 0, databaseErrorOrNil(ctx, "saving the state of a webhook", err)
}

// webhookTenant returns the customer of an endpoint as readers are scheduled by it.
func webhookTenant(customerID int64) int64 {
	if customerID == AllCustomers {
		return engine.NoTenant
	}
	return customerID
}

// WebhookChange is a change as an endpoint receives it, without values.
type WebhookChange struct {
	Number       int64
	CustomerID   int64
	CustomerUUID uuid.UUID
	UserID       int64
	UserUUID     uuid.UUID
	Version      int64
	At           time.Time `gorm:"serializer:epochms"`
	Dialect      string
	Operation    string
	Fields       []FieldChange `gorm:"serializer:json"`
	Later        bool          // the user has an earlier change
}

// Created reports whether the change created its user.
func (c *WebhookChange) Created() bool { return !c.Later }

// Erased reports whether the change erased its user's personal data.
func (c *WebhookChange) Erased() bool { return c.Operation == OperationErased }

// WebhookChanges returns up to limit changes of a customer, or of [AllCustomers], as [Store.ListChanges] does.
func (s *Store) WebhookChanges(ctx context.Context, customerID, after int64, limit int) (changes []WebhookChange, next int64, err error) {
	const doing = "reading the feed for a webhook"
	err = s.reading(ctx, func(from reader) error {
		changes = nil
		release, err := engine.AcquireReader(ctx, from.lists, webhookTenant(customerID))
		if err != nil {
			return databaseError(ctx, doing, err)
		}
		defer release()
		db := from.db.WithContext(ctx)
		if err := db.Raw(selectPublished).Scan(&next).Error; err != nil {
			return databaseError(ctx, doing, err)
		}
		found := feedRange{after: after, upTo: next, all: customerID == AllCustomers, customers: []int64{customerID}}
		err = s.feedPage(db, found, limit).Select(webhookChangeColumns).Joins(historyOfFeed).
			Joins("JOIN users u ON u.customer_id = feed.customer_id AND u.id = feed.user_id").
			Joins("JOIN customers t ON t.id = feed.customer_id").
			Joins("LEFT JOIN user_changes p ON p.customer_id = feed.customer_id AND p.user_id = feed.user_id AND p.version = feed.version - 1").
			Find(&changes).Error
		if err != nil {
			return databaseError(ctx, doing, err)
		}
		if len(changes) == limit {
			next = changes[limit-1].Number
		}
		next = max(after, next)
		return nil
	})
	return changes, next, err
}

const webhookChangeColumns = "feed.number, c.customer_id, t.uuid AS customer_uuid, c.user_id, u.uuid AS user_uuid, c.version, c.at, c.dialect, c.operation, c.fields, " +
	"p.version IS NOT NULL AS later"

// changedAtOnce is how many changes ChangedCustomers looks at.
const changedAtOnce = 1000

// ChangedCustomers returns the customers of the first changes with numbers greater than after, and the number to pass as after in the next
// call, until which there are no others. A negative after means the end of the feed.
func (s *Store) ChangedCustomers(ctx context.Context, after int64) (customers []int64, next int64, err error) {
	const doing = "looking for new changes"
	err = s.reading(ctx, func(from reader) error {
		customers = nil
		db := from.db.WithContext(ctx)
		if err := db.Raw(selectPublished).Scan(&next).Error; err != nil {
			return databaseError(ctx, doing, err)
		}
		if after < 0 || next <= after {
			return nil
		}
		next = min(next, after+changedAtOnce)
		err := db.Table("feed").Where("number > ? AND number <= ?", after, next).Distinct().Pluck("customer_id", &customers).Error
		return databaseErrorOrNil(ctx, doing, err)
	})
	return customers, max(after, next), err
}
