-- {exact}, {utc} and {serial}: the types of TYPES in r0006_first.py
CREATE TABLE plans (plan_id TEXT PRIMARY KEY NOT NULL, schema TEXT NOT NULL, content TEXT NOT NULL,
  created_at {utc} NOT NULL);
CREATE TABLE runs (run_id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL,
  plan_id TEXT REFERENCES plans, state TEXT NOT NULL, desired TEXT NOT NULL, created_at {utc} NOT NULL,
  started_at {utc}, ended_at {utc}, limit_usd {exact}, limit_hours {exact},
  labels JSON NOT NULL, note TEXT NOT NULL, stage TEXT NOT NULL DEFAULT '', alternative INTEGER NOT NULL, reports_byte BIGINT NOT NULL,
  progress_at {utc}, beat_at {utc}, beat_boot_id TEXT NOT NULL, beat_uptime_seconds DOUBLE PRECISION NOT NULL);
CREATE UNIQUE INDEX runs_live_name ON runs (name)
  WHERE state IN ('wanted', 'provisioning', 'queued', 'running', 'stopping');
CREATE INDEX runs_newest ON runs (created_at DESC, run_id);
CREATE INDEX runs_state ON runs (state, created_at DESC, run_id);
CREATE TABLE resources (resource_id TEXT PRIMARY KEY NOT NULL, run_id TEXT NOT NULL REFERENCES runs,
  role TEXT NOT NULL, kind TEXT NOT NULL, provider TEXT NOT NULL, tags JSON NOT NULL, usd_per_hour {exact},
  price_source TEXT NOT NULL, address TEXT, state TEXT NOT NULL, intended_at {utc} NOT NULL, live_at {utc},
  stop_asked_at {utc}, gone_at {utc}, cause TEXT NOT NULL);
CREATE INDEX resources_run ON resources (run_id);
CREATE INDEX resources_state ON resources (state);
CREATE TABLE events (seq {serial}, event_id TEXT NOT NULL, run_id TEXT NOT NULL REFERENCES runs, at {utc} NOT NULL,
  kind TEXT NOT NULL, role TEXT, message TEXT NOT NULL, data JSON NOT NULL, UNIQUE (run_id, event_id));
CREATE INDEX events_run ON events (run_id, seq);
CREATE TABLE phases (run_id TEXT NOT NULL REFERENCES runs, stage TEXT NOT NULL, phase TEXT NOT NULL,
  step INTEGER NOT NULL, seconds DOUBLE PRECISION NOT NULL, at {utc} NOT NULL,
  PRIMARY KEY (run_id, stage, phase, step));
CREATE TABLE steps (run_id TEXT NOT NULL REFERENCES runs, stage TEXT NOT NULL, step INTEGER NOT NULL,
  "of" INTEGER NOT NULL, at {utc} NOT NULL, metrics JSON NOT NULL, PRIMARY KEY (run_id, stage, step));
CREATE TABLE costs (run_id TEXT NOT NULL REFERENCES runs, resource_id TEXT NOT NULL REFERENCES resources,
  from_at {utc} NOT NULL, to_at {utc} NOT NULL, usd_per_hour {exact}, usd {exact}, source TEXT NOT NULL,
  quantity {exact}, usd_per_unit {exact}, PRIMARY KEY (resource_id, from_at));
CREATE INDEX costs_run ON costs (run_id);
CREATE TABLE factors (calibration_id TEXT NOT NULL, work TEXT NOT NULL, phase TEXT NOT NULL, model_class TEXT NOT NULL,
  engine TEXT NOT NULL, sandbox_profile TEXT NOT NULL, inputs TEXT NOT NULL, gpu TEXT NOT NULL,
  log_factor DOUBLE PRECISION NOT NULL, log_sd DOUBLE PRECISION NOT NULL, ratios JSON NOT NULL,
  applied_at {utc} NOT NULL, reverted_at {utc},
  PRIMARY KEY (calibration_id, work, phase, model_class, engine, sandbox_profile, inputs, gpu));
CREATE TABLE bills (bill_id TEXT PRIMARY KEY NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
  period_from {utc} NOT NULL, period_to {utc} NOT NULL, invoice TEXT, digest TEXT NOT NULL, files TEXT NOT NULL,
  imported_at {utc} NOT NULL);
CREATE TABLE bill_lines (bill_id TEXT NOT NULL REFERENCES bills, line INTEGER NOT NULL, run_id TEXT, resource_id TEXT,
  role TEXT, address TEXT, kind TEXT NOT NULL, description TEXT NOT NULL, from_at {utc} NOT NULL, to_at {utc} NOT NULL,
  usd {exact} NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (bill_id, line));
CREATE INDEX bill_lines_run ON bill_lines (run_id);
