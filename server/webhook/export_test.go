package webhook

import (
	"context"
	"net"
	"time"

	"golang.org/x/time/rate"
)

// Step does what Run does until nothing is due at the clock's present time.
func (d *Deliverer) Step(ctx context.Context) error {
	if err := d.save(ctx); err != nil {
		return err
	}
	if err := d.scan(ctx); err != nil {
		return err
	}
	if err := d.wake(ctx); err != nil {
		return err
	}
	d.DeliverAll(ctx)
	for _, e := range d.all() {
		if err := d.saveOne(ctx, e, d.c.Now()); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends the deliverer as Run does at its end.
func (d *Deliverer) Stop() { d.stop(context.Background()) }

// SetTimeout replaces the timeout of deliveries.
func (d *Deliverer) SetTimeout(t time.Duration) { d.timeout = t }

// Schedule is the schedule of attempts.
var Schedule = schedule

// LeaseDuration is how long a lease must stand still.
const LeaseDuration = leaseDuration

// IsPublic is isPublic.
var IsPublic = isPublic

// Pause is pause.
var Pause = pause

// SetResolver replaces the resolver of names.
func (d *Deliverer) SetResolver(r *net.Resolver) {
	d.c.Resolver = r
	d.client = newClient(d.c)
}

// DeliverAll delivers what is due, without renewing leases.
func (d *Deliverer) DeliverAll(ctx context.Context) {
	for _, e := range d.all() {
		for d.next(ctx, e) == 0 {
		}
	}
}

// SetRate replaces the limit of deliveries a second.
func (d *Deliverer) SetRate(perSecond float64) {
	d.pace.Limiter = rate.NewLimiter(rate.Limit(perSecond), int(perSecond))
}
