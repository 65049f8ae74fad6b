package record

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	databaseName = "catalog.db"
	// schemaVersion is the user_version of a database that this version of
	// the server has made.
	schemaVersion = 1
	// quickCheck is the largest database that is checked as a whole when it is
	// opened; a larger one is when reading it has shown damage.
	quickCheck = 64 << 20
	// damagedMark is the file that says so.
	damagedMark = "damaged"
)

// The schema. What is asked for has a column of its own, everything else lies
// in facts, so that a new fact needs no migration. place is where a recording
// stands in a listing, see [Facts.place]; a phase is a state, where all states
// of a recording that has not ended are one; work and work_at tell what is to
// be done for the storage elsewhere, NULL for nothing. ended is in milliseconds
// of the epoch, NULL for not yet.
const schema = `
CREATE TABLE recordings (
	place   TEXT NOT NULL PRIMARY KEY,
	stream  TEXT NOT NULL,
	phase   TEXT NOT NULL,
	file    TEXT NOT NULL UNIQUE,
	work    INTEGER,
	work_at INTEGER,
	on_disk INTEGER NOT NULL,
	bytes   INTEGER NOT NULL,
	ended   INTEGER,
	facts   TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX recordings_stream ON recordings (stream, place);
CREATE INDEX recordings_phase ON recordings (phase, place);
CREATE INDEX recordings_stream_phase ON recordings (stream, phase, place);
CREATE INDEX recordings_work ON recordings (work, work_at, place) WHERE work IS NOT NULL;
CREATE INDEX recordings_disk ON recordings (stream, ended, bytes) WHERE on_disk = 1;
CREATE TABLE scans (done INTEGER NOT NULL);
INSERT INTO scans VALUES (0);
PRAGMA user_version = 1;
`

// The statements.
const (
	sqlInsert = `INSERT INTO recordings (stream, phase, file, work, work_at, on_disk, bytes, ended, facts, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	sqlUpdate = `UPDATE recordings SET stream = ?, phase = ?, file = ?, work = ?, work_at = ?, on_disk = ?, bytes = ?, ended = ?, facts = ? WHERE place = ?`
	sqlDelete = `DELETE FROM recordings WHERE place = ?`
	sqlByFile = `SELECT facts FROM recordings WHERE file = ?`
	sqlWork   = `SELECT facts FROM recordings WHERE work = ? ORDER BY work_at, place LIMIT ?`
	sqlExtent = `SELECT coalesce(sum(b), 0), coalesce(max(n), 0), min(e) FROM
		(SELECT sum(bytes) AS b, count(*) AS n, min(ended) AS e FROM recordings INDEXED BY recordings_disk WHERE on_disk = 1 GROUP BY stream)`
)

// phaseOpen is the phase of recordings that have not ended.
const phaseOpen = "open"

// errDamaged reports a database that cannot be read.
var errDamaged = errors.New("record: the catalogue is damaged")

// database is the file of the catalogue. It is safe for concurrent use.
type database struct {
	dir string
	db  *sql.DB
}

// openDatabase opens the database in a folder, and makes it where there is
// none. One that is damaged is kept under another name, which it returns.
func openDatabase(dir string) (d *database, aside string, err error) {
	_, marked := os.Stat(filepath.Join(dir, damagedMark))
	if marked != nil {
		if d, err = tryDatabase(dir); !errors.Is(err, errDamaged) {
			return d, "", err
		}
	}
	if aside, err = setAside(dir, time.Now()); err != nil {
		return nil, "", err
	}
	d, err = tryDatabase(dir)
	return d, aside, err
}

// setAside renames a database with what belongs to it.
func setAside(dir string, now time.Time) (string, error) {
	aside := filepath.Join(dir, "damaged-"+now.UTC().Format(timeFormat)+".db")
	for _, suffix := range []string{"-wal", ""} {
		if err := os.Rename(filepath.Join(dir, databaseName+suffix), aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("keeping the damaged catalogue: %w", err)
		}
	}
	for _, name := range []string{databaseName + "-shm", damagedMark} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("keeping the damaged catalogue: %w", err)
		}
	}
	return aside, nil
}

// tryDatabase opens the database. The error is [errDamaged] if that cannot
// be read.
func tryDatabase(dir string) (*database, error) {
	name := filepath.ToSlash(filepath.Join(dir, databaseName))
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // C:/…
	}
	// Exclusive comes first, so that the index of the WAL lies in memory and not
	// in a file that is mapped: a disk that hangs would hold up whoever touches
	// that outside of any system call, and with the next collection of garbage
	// the whole process.
	at := url.URL{Scheme: "file", Path: name, RawQuery: "_txlock=immediate&_pragma=locking_mode(EXCLUSIVE)" +
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=journal_size_limit(16777216)"}
	db, err := sql.Open("sqlite", at.String())
	if err != nil {
		return nil, fmt.Errorf("opening the catalogue: %w", err)
	}
	db.SetMaxOpenConns(1) // it keeps all others out
	d := &database{dir, db}
	if err := d.prepare(); err != nil {
		d.close()
		return nil, fmt.Errorf("opening the catalogue: %w", err)
	}
	return d, nil
}

// prepare makes the tables, or checks those that are there.
func (d *database) prepare() error {
	version, err := d.number(`PRAGMA user_version`)
	switch {
	case err != nil:
		return err
	case version > schemaVersion:
		return fmt.Errorf("it was made by a newer version (%d)", version)
	case version == 0:
		return d.create()
	}
	if info, err := os.Stat(filepath.Join(d.dir, databaseName)); err == nil && info.Size() <= quickCheck {
		var said string
		if err := d.row(`PRAGMA quick_check(1)`).Scan(&said); err != nil || said != "ok" {
			return fmt.Errorf("%w: %w", errDamaged, errors.Join(err, errors.New(said)))
		}
	}
	if _, err := d.number(`SELECT count(*) FROM (SELECT place, stream, phase, file, work, work_at, on_disk, bytes, ended, facts FROM recordings LIMIT 1)`); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if _, err := d.number(`SELECT done FROM scans`); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

// create makes the tables, all or none.
func (d *database) create() error {
	if n, err := d.number(`SELECT count(*) FROM sqlite_schema`); err != nil || n > 0 {
		return errors.Join(errDamaged, err)
	}
	return d.exec("BEGIN IMMEDIATE;" + schema + "COMMIT;")
}

// close leaves the database to others.
func (d *database) close() { _ = d.db.Close() } // what was written is durable

// mark makes the next start replace the database.
func (d *database) mark() {
	_ = os.WriteFile(filepath.Join(d.dir, damagedMark), nil, 0o644) // the next error tries again
}

// The calls of database/sql. The database is a local file: what takes time
// there is the disk, which no context interrupts.

func (d *database) exec(query string, args ...any) error {
	_, err := d.db.Exec(query, args...) //nolint:noctx // see above
	return d.failure(err)
}

func (d *database) row(query string) *sql.Row {
	return d.db.QueryRow(query) //nolint:noctx // see above
}

func (d *database) number(query string) (n int64, err error) {
	err = d.row(query).Scan(&n)
	return n, d.failure(err)
}

// failure says of an error whether the database is damaged, or something is
// in its table already.
func (d *database) failure(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return errTaken
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// values are the columns of a recording, as [sqlInsert] and [sqlUpdate] name
// them.
func values(f *Facts) ([]any, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	work, at := f.work()
	var ended any
	if f.EndedAt != nil {
		ended = f.EndedAt.UnixMilli()
	}
	return []any{f.StreamPath, f.State.phase(), fold(f.File), work, at, f.onDisk(), f.Bytes, ended, string(b), f.place()}, nil
}

// put writes one recording. The error is [errTaken] for a new one whose place
// or file is in use.
func (d *database) put(f *Facts, isNew bool) error {
	args, err := values(f)
	if err != nil {
		return err
	}
	if isNew {
		return d.exec(sqlInsert, args...)
	}
	return d.exec(sqlUpdate, args...)
}

// putAll writes recordings that are new, but not those whose file is known, and
// durably all or none.
func (d *database) putAll(all []Facts) error {
	tx, err := d.db.Begin() //nolint:noctx // see above
	if err != nil {
		return d.failure(err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	for i := range all {
		args, err := values(&all[i])
		if err != nil {
			return err
		}
		//nolint:noctx // see above
		if _, err := tx.Exec(sqlInsert+` ON CONFLICT DO NOTHING`, args...); err != nil {
			return d.failure(err)
		}
	}
	return d.failure(tx.Commit())
}

// read returns the recordings that a query finds.
func (d *database) read(query string, args ...any) (all []Facts, err error) {
	rows, err := d.db.Query(query, args...) //nolint:noctx // see above
	if err != nil {
		return nil, d.failure(err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	for rows.Next() {
		var raw sql.RawBytes
		if err := rows.Scan(&raw); err != nil {
			return nil, d.failure(err)
		}
		var f Facts
		if err := json.Unmarshal(raw, &f); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
		all = append(all, f)
	}
	return all, d.failure(rows.Err())
}

// What has been looked through since the database was made.
const (
	scannedNothing = 0
	scannedAll     = 1 // the files and the storage, or, by an older version, the files
	scannedFiles   = 2
)

// scans returns what has been looked through.
func (d *database) scans() (int64, error) { return d.number(`SELECT done FROM scans`) }

func (d *database) setScans(done int64) error { return d.exec(`UPDATE scans SET done = ?`, done) }

// statement returns the query for up to limit recordings behind a place, and
// its arguments.
func (q *query) statement(behind string, limit int) (text string, args []any) {
	index := "" // named, since without statistics the planner takes any that fits
	switch {
	case q.stream != "" && q.state != "":
		index = " INDEXED BY recordings_stream_phase"
	case q.stream != "":
		index = " INDEXED BY recordings_stream"
	case q.state != "":
		index = " INDEXED BY recordings_phase"
	}
	text = `SELECT facts FROM recordings` + index + ` WHERE place < ?`
	args = append(args, behind)
	if !q.from.IsZero() {
		text, args = text+` AND place >= ?`, append(args, placeAt(q.from))
	}
	if q.stream != "" {
		text, args = text+` AND stream = ?`, append(args, q.stream)
	}
	if q.state != "" {
		text, args = text+` AND phase = ?`, append(args, q.state.phase())
	}
	return text + ` ORDER BY place DESC LIMIT ?`, append(args, limit)
}
