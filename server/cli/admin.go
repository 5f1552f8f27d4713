package cli

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/dragoman-id/dragoman/server"
	"github.com/dragoman-id/dragoman/server/tracing"
)

// adminFlags configure the admin listener and the log.
type adminFlags struct {
	AdminListen string   `placeholder:"HOST:PORT" help:"The address of the admin listener, which serves /metrics, /livez, /readyz and /log-level, such as 127.0.0.1:9090. It has no authentication, so only operators may be able to reach it. Without it there are no metrics."`
	AdminHost   []string `placeholder:"NAME" help:"A host name that the admin listener, and a mock's /mock/reset, accept besides localhost and the address itself, such as metrics.example.com; repeat it for several. Requests for other names are rejected, which protects against DNS rebinding."`
	AdminPprof  bool     `help:"Serve Go's profiles under /debug/pprof/ of the admin listener."`
	LogFormat   string   `enum:"text,json" default:"text" help:"The format of the log: text or json (${default})."`
	LogLevel    string   `enum:"debug,info,warn,error" default:"info" help:"The minimum level to log: debug, info, warn or error (${default}). PUT /log-level changes it while the server runs."`
}

// logger returns the log, which goes to standard error, and its level, which may be changed while the server runs.
func (f *adminFlags) logger() (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		level.Set(slog.LevelInfo)
	}
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), level
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), level
}

func (f *adminFlags) admin(level *slog.LevelVar) server.Admin {
	return server.Admin{Listen: f.AdminListen, Hosts: f.AdminHost, Profiles: f.AdminPprof, Level: level}
}

// flushTimeout limits how long the program sends its last traces when it ends.
const flushTimeout = 5 * time.Second

// flush sends the spans that are not sent yet. A failure is logged and does not fail the command.
func flush(t *tracing.Tracing, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("traces could not be sent", "error", err)
	}
}
