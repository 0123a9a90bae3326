package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/embedded"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/internal/settings"
)

type benchSendCommand struct {
	Contacts    int           `help:"How many contacts." default:"50000"`
	Connections int           `help:"How many connections to the sink." default:"8"`
	Workers     int           `help:"How many worker processes; they share the connections." default:"1"`
	Delay       time.Duration `help:"A wire with this round-trip time to the sink; the limit is then what its connections can carry." placeholder:"50ms"`
	DKIM        bool          `help:"Sign with RSA-2048." name:"dkim"`
	Postfix     string        `help:"The folder with Postfix's smtp-sink and smtp-source (script/postfix-tools)." required:"" type:"existingdir"`
	CPUProfile  string        `help:"Write a CPU profile of the first worker to a file." name:"cpu-profile" placeholder:"FILE"`
	JSON        bool          `help:"Print one JSON object on stdout." name:"json"`
}

// sendFigures is what benchSendCommand measures.
type sendFigures struct {
	Contacts     int     `json:"contacts"`
	Connections  int     `json:"connections"`
	Workers      int     `json:"workers"`
	MailsPerSec  float64 `json:"mails_per_s"`
	LimitPerSec  float64 `json:"limit_per_s"` // smtp-source into the same sink; with a delay, one mail a round trip and connection
	Ratio        float64 `json:"ratio"`
	PeakRSSMB    int64   `json:"peak_rss_mb"` // of the largest worker
	FirstMailSec float64 `json:"first_mail_s"`
	PlanSec      float64 `json:"plan_s"`
	WorkerMicros float64 `json:"worker_cpu_us_per_mail"`   // of all workers, planning included
	LedgerMicros float64 `json:"database_cpu_us_per_mail"` // of PostgreSQL, planning included
	Bytes        int     `json:"bytes_per_mail"`
}

// Run sends a campaign into Postfix's sink, from launch to finished, and holds
// it against what Postfix's own source sends into the same sink.
func (b *benchSendCommand) Run(ctx context.Context, c *console) error {
	return withWorkbench(ctx, "", c, func(w workbench) error { return b.measure(ctx, w, c) })
}

func (b *benchSendCommand) measure(ctx context.Context, w workbench, c *console) error {
	rd, err := embedded.StartRedis(ctx, embedded.RedisOptions{Dir: filepath.Join(w.dir, "redis")})
	if err != nil {
		return err
	}
	defer func() { _ = rd.Stop(context.WithoutCancel(ctx)) }()
	id, err := b.prepare(ctx, w.db, w.keys)
	if err != nil {
		return err
	}
	sink, stopSink, err := b.startSink(ctx)
	if err != nil {
		return err
	}
	defer stopSink()

	f := sendFigures{Contacts: b.Contacts, Connections: b.Connections, Workers: b.Workers, Bytes: benchMailSize}
	if b.Delay > 0 {
		proxy, err := startDelayProxy(sink, b.Delay)
		if err != nil {
			return err
		}
		defer proxy.stop()
		sink = proxy.address()
		f.LimitPerSec = float64(b.Connections) / b.Delay.Seconds()
	} else if f.LimitPerSec, err = b.yardstick(ctx, sink); err != nil {
		return err
	}
	secret, err := os.ReadFile(filepath.Join(w.dir, "secret-keys"))
	if err != nil {
		return err
	}
	environment := append(os.Environ(), "JATAK_DATABASE_URL="+w.url, "JATAK_REDIS_URL="+rd.URL(), "JATAK_SECRET_KEYS="+string(secret),
		"JATAK_PUBLIC_URL=https://mail.jatak.example", "JATAK_UNSUBSCRIBE_MAILBOX=unsubscribe@jatak.example", "JATAK_LOG_LEVEL=warn",
		fmt.Sprintf("JATAK_SMTP_URLS=smtp://%s?max_conns=%d", sink, b.Connections))
	if b.DKIM {
		file := filepath.Join(w.dir, "dkim.pem")
		if err := (&dkimKeygenCommand{Domain: "jatak.example", Selector: "bench", File: file, Type: "rsa"}).Run(ctx, &console{out: c.err, err: c.err, log: c.log}); err != nil {
			return err
		}
		environment = append(environment, "JATAK_DKIM_KEYS=jatak.example:bench:"+file)
	}
	if err := b.send(ctx, c, w.db, rd.URL(), id, environment, &f); err != nil {
		return err
	}
	if b.JSON {
		return writeJSON(c.out, f)
	}
	_, err = fmt.Fprintf(c.out, "%s mails over %d connections: %s/s, %.2f of the limit of %s/s; first mail after %.2f s, planned in %.1f s, worker at most %d MB; CPU a mail: %.0f µs in the worker, %.0f µs in PostgreSQL\n",
		number(int64(f.Contacts)), f.Connections, number(int64(f.MailsPerSec)), f.Ratio, number(int64(f.LimitPerSec)), f.FirstMailSec, f.PlanSec, f.PeakRSSMB, f.WorkerMicros, f.LedgerMicros)
	return err
}

// benchMailSize is about what one mail has on the wire, in bytes.
const benchMailSize = 14_000

// prepare keeps contacts who have all consented, and a newsletter of 10 KiB.
func (b *benchSendCommand) prepare(ctx context.Context, db *postgres.DB, keys *managelink.Keyring) (campaign.ID, error) {
	now := time.Now()
	people := func(yield func(contact.LegacyContact, error) bool) {
		for i := range b.Contacts {
			email := fmt.Sprintf("reader%d@bench%d.example", i, i%97)
			if !yield(contact.LegacyContact{ID: strconv.Itoa(i), Email: email, Address: contact.Address(email), Digest: keys.Digest(email),
				FirstName: "Anna" + strconv.Itoa(i), LastName: "Ærø", Language: "en", Emarketing: "consent"}, nil) {
				return
			}
		}
	}
	err := db.Import(ctx, func(im *postgres.Import) error {
		object := func(contact.Objection) {}
		if _, err := im.Contacts(ctx, iter.Seq2[contact.LegacyContact, error](people), object); err != nil {
			return err
		}
		_, err := im.Consents(ctx, "bench", now, object)
		return err
	})
	if err != nil {
		return 0, err
	}
	if err := db.Analyze(ctx); err != nil {
		return 0, err
	}
	if err := db.Set(ctx, gating.SettingPrivacy, "on", "bench", now); err != nil {
		return 0, err
	}
	var html strings.Builder
	html.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><body><h1>Dear {{ contact.first_name | default: \"reader\" }} {{ contact.last_name }}</h1>\n")
	for i := 0; html.Len() < 10<<10; i++ {
		fmt.Fprintf(&html, "<p style=\"font-size:16px;line-height:24px\">Paragraph %d says something that is worth reading, and <a href=\"https://shop.example/item/%d\">leads somewhere</a>.</p>\n", i, i)
	}
	html.WriteString("<p>{{ contact.email }} <a href=\"{{ manage_url }}\">Manage subscriptions</a> {{ sender.address }}</p></body></html>\n")
	text := "Dear {{ contact.first_name | default: \"reader\" }} {{ contact.last_name }},\n\n" + strings.Repeat("A line of text that somebody may read.\n", 60) +
		"\n{{ contact.email }}\n{{ manage_url }}\n{{ sender.address }}\n"
	return db.CreateCampaign(ctx, campaign.Content{
		Name: "bench", FromName: "Bench", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7, 5000 Odense C", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "News for {{ contact.first_name }}", HTML: html.String(), Text: text}},
	}, now)
}

// postfix returns a command of the folder, with its libraries.
func (b *benchSendCommand) postfix(ctx context.Context, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, filepath.Join(b.Postfix, "usr/sbin", name), args...)
	command.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(b.Postfix, "usr/lib/postfix"))
	return command
}

func (b *benchSendCommand) startSink(ctx context.Context) (address string, stop func(), err error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	address = free.Addr().String()
	_ = free.Close()
	args := []string{address, "1000"}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...)
	}
	sink := b.postfix(ctx, "smtp-sink", args...)
	var said bytes.Buffer
	sink.Stderr = &said
	if err := sink.Start(); err != nil {
		return "", nil, fmt.Errorf("smtp-sink: %w", err)
	}
	stop = func() {
		_ = sink.Process.Kill()
		_ = sink.Wait()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return address, stop, conn.Close()
		}
		if time.Now().After(deadline) {
			stop()
			return "", nil, fmt.Errorf("smtp-sink does not listen: %s", said.String())
		}
	}
}

// yardstick returns how many mails a second smtp-source sends into the sink.
func (b *benchSendCommand) yardstick(ctx context.Context, sink string) (float64, error) {
	n := min(b.Contacts, 50_000)
	source := b.postfix(ctx, "smtp-source", "-d", "-s", strconv.Itoa(b.Connections), "-l", strconv.Itoa(benchMailSize), "-m", strconv.Itoa(n),
		"-f", "news@jatak.example", "-t", "reader@bench.example", sink)
	started := time.Now()
	if out, err := source.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("smtp-source: %w: %s", err, out)
	}
	return float64(n) / time.Since(started).Seconds(), nil
}

// send launches the campaign, starts the workers, and measures until it ends.
func (b *benchSendCommand) send(ctx context.Context, c *console, db *postgres.DB, redisURL string, id campaign.ID, environment []string, f *sendFigures) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var workers []*exec.Cmd
	for i := range b.Workers {
		command := exec.CommandContext(ctx, self, "worker")
		if b.CPUProfile != "" && i == 0 {
			command.Args = append(command.Args, "--cpu-profile", b.CPUProfile)
		}
		command.Env, command.Stderr = environment, c.err
		if err := command.Start(); err != nil {
			return err
		}
		workers = append(workers, command)
	}
	defer func() {
		for _, w := range workers {
			_ = w.Process.Signal(os.Interrupt)
			_ = w.Wait()
		}
	}()
	if err := db.AwaitWorkers(ctx, b.Workers); err != nil {
		return err
	}
	client, err := openQueue(ctx, settings.Redis{URL: redisURL})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	kept, err := db.Campaign(ctx, id)
	if err != nil {
		return err
	}
	workersBefore, ledgerBefore := cpuOf(isOneOf(workers)), cpuOf(isPostgres)
	started := time.Now()
	if err := launch(ctx, db, queue.NewClient(client), kept, campaign.Override{}); err != nil {
		return err
	}
	for kept.State != campaign.StateFinished {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if kept, err = db.Campaign(ctx, id); err != nil {
			return err
		}
	}
	took := time.Since(started)
	f.WorkerMicros = perMail(cpuOf(isOneOf(workers))-workersBefore, b.Contacts)
	f.LedgerMicros = perMail(cpuOf(isPostgres)-ledgerBefore, b.Contacts)
	books, err := db.Books(ctx, id)
	if err != nil {
		return err
	}
	if err := books.Balanced(); err != nil || books.Sent != int64(b.Contacts) {
		return errors.Join(err, fmt.Errorf("%d of %d were sent", books.Sent, b.Contacts))
	}
	first, err := db.FirstSent(ctx, id)
	if err != nil {
		return err
	}
	f.MailsPerSec = float64(b.Contacts) / took.Seconds()
	f.Ratio = f.MailsPerSec / f.LimitPerSec
	f.FirstMailSec = first.Sub(kept.Launched).Seconds()
	f.PlanSec = kept.Planned.Sub(kept.Launched).Seconds()
	for _, w := range workers {
		f.PeakRSSMB = max(f.PeakRSSMB, peakRSS(w.Process.Pid))
	}
	return nil
}

// peakRSS returns the most memory that a running process has had, in MB; 0
// where that cannot be known.
func peakRSS(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb / 1024
		}
	}
	return 0
}

func perMail(cpu time.Duration, mails int) float64 {
	return float64(cpu.Microseconds()) / float64(mails)
}

// clockTick is the unit of CPU times in /proc, the same on all of Linux.
const clockTick = 10 * time.Millisecond

// cpuOf returns how much CPU time the processes have had; 0 where that cannot be
// known.
func cpuOf(counts func(pid int, name string) bool) (total time.Duration) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// "pid (name) state ppid ...": user and system time are fields 14 and 15.
		begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
		fields := strings.Fields(string(text[end+1:]))
		pid, err := strconv.Atoi(strings.TrimSpace(string(text[:begin])))
		if err != nil || len(fields) < 13 || !counts(pid, string(text[begin+1:end])) {
			continue
		}
		for _, f := range fields[11:13] {
			ticks, _ := strconv.Atoi(f)
			total += time.Duration(ticks) * clockTick
		}
	}
	return total
}

func isPostgres(_ int, name string) bool { return name == "postgres" }

func isOneOf(commands []*exec.Cmd) func(int, string) bool {
	return func(pid int, _ string) bool {
		return slices.ContainsFunc(commands, func(c *exec.Cmd) bool { return c.Process.Pid == pid })
	}
}
