// Gomaintner reads and writes mutation logs with the Go package maintner.
//
//	gomaintner facts DIR...   prints what the corpus of each log says, one JSON object a line, in the form of
//	                          maintner/tests/it/facts.rs as far as the package's interface goes
//	gomaintner copy FROM TO   decodes each mutation of a log and writes it to another, as a leader would
//	gomaintner load DIR       prints what loading cost, and how long some queries take, as a JSON object
//	gomaintner scan DIR       prints how long it took to find the records of a log
//	gomaintner append DIR TO  prints how long it took to write the mutations of the first file of a log to another
//	gomaintner follow URL DIR follows a log that a server has, with a cache, and prints one JSON object after each update
//	gomaintner serve [DIR]    serves a log as the daemon does, from a bucket that it plays itself, and that it copies to files
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"
	"path/filepath"
	"sort"
	"time"

	"golang.org/x/build/maintner"
	"golang.org/x/build/maintner/maintpb"
	"golang.org/x/build/maintner/reclog"
	"google.golang.org/protobuf/proto"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gomaintner: ")
	args := os.Args[1:]
	var err error
	switch {
	case len(args) >= 2 && args[0] == "facts":
		err = printFacts(args[1:])
	case len(args) == 3 && args[0] == "copy":
		err = copyLog(args[1], args[2])
	case len(args) == 2 && args[0] == "load":
		err = measureLoad(args[1])
	case len(args) == 2 && args[0] == "scan":
		err = measureScan(args[1])
	case len(args) == 3 && args[0] == "append":
		err = measureAppend(args[1], args[2])
	case len(args) == 3 && args[0] == "follow":
		err = follow(args[1], args[2])
	case len(args) == 1 && args[0] == "serve":
		err = serve("")
	case len(args) == 2 && args[0] == "serve":
		err = serve(args[1])
	default:
		log.Fatal("usage: gomaintner facts DIR... | copy FROM TO | load DIR | scan DIR | append DIR TO | follow URL DIR | serve [DIR]")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func load(dir string) (*maintner.Corpus, error) {
	// What the package has to say about bad input is not wanted.
	log.SetOutput(io.Discard)
	defer log.SetOutput(os.Stderr)
	corpus := new(maintner.Corpus)
	return corpus, corpus.Initialize(context.Background(), maintner.NewDiskMutationLogger(dir))
}

func copyLog(from, to string) error {
	names, err := filepath.Glob(filepath.Join(from, "maintner-*.mutlog"))
	if err != nil {
		return err
	}
	sort.Strings(names)
	logger := maintner.NewDiskMutationLogger(to)
	for _, name := range names {
		err := reclog.ForeachFileRecord(name, func(_ int64, _, rec []byte) error {
			m := new(maintpb.Mutation)
			if err := proto.Unmarshal(rec, m); err != nil {
				return err
			}
			return logger.Log(m)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type object = map[string]any

func printFacts(dirs []string) error {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for _, dir := range dirs {
		corpus, err := load(dir)
		facts := object{"error": err != nil}
		if err == nil {
			facts = object{"github": github(corpus), "gerrit": gerrit(corpus)}
		}
		if err := out.Encode(facts); err != nil {
			return err
		}
	}
	return nil
}

func github(corpus *maintner.Corpus) object {
	repos := []object{}
	corpus.GitHub().ForeachRepo(func(repo *maintner.GitHubRepo) error {
		labels, milestones, issues := []object{}, []object{}, []object{}
		repo.ForeachLabel(func(l *maintner.GitHubLabel) error {
			labels = append(labels, object{"id": l.ID, "name": l.Name})
			return nil
		})
		repo.ForeachMilestone(func(m *maintner.GitHubMilestone) error {
			milestones = append(milestones, object{"id": m.ID, "title": m.Title, "number": m.Number, "closed": m.Closed})
			return nil
		})
		byID := func(list []object) {
			sort.Slice(list, func(i, j int) bool { return list[i]["id"].(int64) < list[j]["id"].(int64) })
		}
		byID(labels)
		byID(milestones)
		repo.ForeachIssue(func(i *maintner.GitHubIssue) error {
			issues = append(issues, issue(i))
			return nil
		})
		repos = append(repos, object{"id": repo.ID().String(), "labels": labels, "milestones": milestones, "issues": issues})
		return nil
	})
	return object{"repos": repos}
}

func issue(i *maintner.GitHubIssue) object {
	assignees, labels, comments, events := []int64{}, []int64{}, []object{}, []object{}
	for _, u := range i.Assignees {
		assignees = append(assignees, u.ID)
	}
	for id := range i.Labels {
		labels = append(labels, id)
	}
	sort.Slice(labels, func(a, b int) bool { return labels[a] < labels[b] })
	i.ForeachComment(func(c *maintner.GitHubComment) error {
		comments = append(comments, object{"id": c.ID, "user": user(c.User), "created": instant(c.Created), "updated": instant(c.Updated), "body": c.Body})
		return nil
	})
	i.ForeachEvent(func(e *maintner.GitHubIssueEvent) error {
		events = append(events, event(e))
		return nil
	})
	var milestone any
	switch {
	case i.Milestone.IsNone():
		milestone = "none"
	case !i.Milestone.IsUnknown():
		milestone = i.Milestone.ID
	}
	return object{
		"number": i.Number, "id": i.ID, "not_exist": i.NotExist, "closed": i.Closed, "locked": i.Locked, "pull_request": i.PullRequest,
		"user": user(i.User), "closed_by": user(i.ClosedBy), "assignees": assignees,
		"created": instant(i.Created), "updated": instant(i.Updated), "closed_at": instant(i.ClosedAt), "last_modified": instant(i.LastModified()),
		"title": i.Title, "body": i.Body, "milestone": milestone, "labels": labels, "comments": comments, "events": events,
	}
}

func event(e *maintner.GitHubIssueEvent) object {
	facts := object{"id": e.ID, "type": e.Type, "created": instant(e.Created), "actor": user(e.Actor)}
	for key, text := range map[string]string{"label": e.Label, "milestone": e.Milestone, "from": e.From, "to": e.To,
		"commit_id": e.CommitID, "commit_url": e.CommitURL, "other_json": e.OtherJSON} {
		if text != "" {
			facts[key] = text
		}
	}
	for key, u := range map[string]*maintner.GitHubUser{"assignee": e.Assignee, "assigner": e.Assigner, "reviewer": e.Reviewer, "review_requester": e.ReviewRequester} {
		if u != nil {
			facts[key] = u.ID
		}
	}
	if e.TeamReviewer != nil {
		facts["team_reviewer"] = object{"id": e.TeamReviewer.ID, "slug": e.TeamReviewer.Slug}
	}
	if r := e.DismissedReview; r != nil {
		facts["dismissed_review"] = object{"review_id": r.ReviewID, "state": r.State, "dismissal_message": r.DismissalMessage}
	}
	return facts
}

func user(u *maintner.GitHubUser) any {
	if u == nil {
		return nil
	}
	return u.ID
}

func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func gerrit(corpus *maintner.Corpus) object {
	projects := []object{}
	corpus.Gerrit().ForeachProjectUnsorted(func(p *maintner.GerritProject) error {
		refs, cls, open := object{}, []object{}, []int32{}
		p.ForeachNonChangeRef(func(ref string, hash maintner.GitHash) error {
			refs[ref] = hash.String()
			return nil
		})
		p.ForeachCLUnsorted(func(c *maintner.GerritCL) error {
			cls = append(cls, cl(c))
			return nil
		})
		sort.Slice(cls, func(i, j int) bool { return cls[i]["number"].(int32) < cls[j]["number"].(int32) })
		p.ForeachOpenCL(func(c *maintner.GerritCL) error {
			open = append(open, c.Number)
			return nil
		})
		projects = append(projects, object{"name": p.ServerSlashProject(), "server": p.Server(), "project": p.Project(),
			"num_label_changes": p.NumLabelChanges(), "refs": refs, "cls": cls, "open_cls": open})
		return nil
	})
	sort.Slice(projects, func(i, j int) bool { return projects[i]["name"].(string) < projects[j]["name"].(string) })
	return object{"projects": projects}
}

func cl(c *maintner.GerritCL) object {
	refs, messages, metas := []string{}, []object{}, []object{}
	for _, ref := range c.GitHubIssueRefs {
		refs = append(refs, ref.String())
	}
	for _, m := range c.Messages {
		messages = append(messages, object{"meta": m.Meta.Hash.String(), "version": m.Version, "message": m.Message,
			"date": instant(m.Date), "author": m.Author.Str})
	}
	for _, m := range c.Metas {
		facts := object{"hash": m.Commit.Hash.String(), "footer": m.Footer(), "action_tag": m.ActionTag(),
			"hashtags": string(m.Hashtags()), "hashtags_len": m.Hashtags().Len()}
		if added, removed, ok := m.HashtagEdits(); ok {
			facts["hashtags_added"], facts["hashtags_removed"] = string(added), string(removed)
		}
		if votes, err := m.LabelVotes(); err == nil {
			facts["label_votes"] = votes
		}
		metas = append(metas, facts)
	}
	return object{
		"number": c.Number, "complete": true, "created": instant(c.Created), "version": c.Version, "status": c.Status, "private": c.Private,
		"wip": c.WorkInProgress(), "branch": c.Branch(), "owner_id": c.OwnerID(), "subject": c.Subject(), "change_id": c.ChangeID(),
		"github_issue_refs": refs, "messages": messages, "metas": metas, "commit": commit(c.Commit),
	}
}

func commit(c *maintner.GitCommit) string { return c.Hash.String() }
