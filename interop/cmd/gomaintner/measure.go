package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"golang.org/x/build/maintner"
	"golang.org/x/build/maintner/maintpb"
	"golang.org/x/build/maintner/reclog"
	"google.golang.org/protobuf/proto"
)

// The queries are those of benches/src/maintner/queries.rs, and the objects those that benches/src/maintner/load.rs reads.

const (
	// How many issues, changes and commits are looked up.
	samples = 1000
	// A query is repeated so often at least, and so long.
	passes  = 5
	repeats = 200 * time.Millisecond
)

func measureLoad(dir string) error {
	start := time.Now()
	corpus, err := load(dir)
	if err != nil {
		return err
	}
	wall := time.Since(start)
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	private, err := privateKiB()
	if err != nil {
		return err
	}
	queries, err := runQueries(corpus)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(object{
		"load_seconds": wall.Seconds(), "cpu_seconds": cpu.Seconds(), "peak_kib": usage.Maxrss, "private_kib": private, "queries": queries,
	})
}

// privateKiB is the resident memory that nobody else has and no file.
func privateKiB() (int64, error) {
	rollup, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(rollup), "\n") {
		if size, ok := strings.CutPrefix(line, "Private_Dirty:"); ok {
			var kib int64
			_, err := fmt.Sscan(size, &kib)
			return kib, err
		}
	}
	return 0, errors.New("the system does not tell private memory")
}

func runQueries(corpus *maintner.Corpus) (object, error) {
	var open []*maintner.GerritCL
	listOpen := func() int {
		open = open[:0]
		corpus.Gerrit().ForeachProjectUnsorted(func(p *maintner.GerritProject) error {
			return p.ForeachOpenCL(func(cl *maintner.GerritCL) error {
				open = append(open, cl)
				return nil
			})
		})
		return len(open)
	}
	listOpen()
	sort.Slice(open, func(i, j int) bool { return open[i].Number < open[j].Number })
	var someCLs []*maintner.GerritCL
	var hashes []string
	for i := range min(samples, len(open)) {
		cl := open[i*len(open)/min(samples, len(open))]
		someCLs = append(someCLs, cl)
		hashes = append(hashes, cl.Commit.Hash.String())
	}
	repo := corpus.GitHub().Repo("golang", "go")
	if repo == nil {
		return nil, errors.New("the log has no issues")
	}
	last := int32(0)
	repo.ForeachIssue(func(i *maintner.GitHubIssue) error {
		last = max(last, i.Number)
		return nil
	})
	type branch struct{ head, root *maintner.GitCommit }
	var branches []branch
	var names []string
	byName := make(map[string]*maintner.GerritProject)
	corpus.Gerrit().ForeachProjectUnsorted(func(p *maintner.GerritProject) error {
		names = append(names, p.ServerSlashProject())
		byName[p.ServerSlashProject()] = p
		return nil
	})
	sort.Strings(names)
	for _, name := range names {
		head := corpus.GitCommit(byName[name].Ref("refs/heads/master").String())
		if head == nil {
			continue
		}
		root := head
		for len(root.Parents) > 0 {
			root = root.Parents[0]
		}
		branches = append(branches, branch{head, root})
	}
	times := object{}
	timed := func(name string, query func() int) {
		var nanos []int64
		answer := 0
		for began := time.Now(); len(nanos) < passes || time.Since(began) < repeats; {
			start := time.Now()
			answer = query()
			nanos = append(nanos, time.Since(start).Nanoseconds())
		}
		sort.Slice(nanos, func(i, j int) bool { return nanos[i] < nanos[j] })
		times[name] = object{"nanos": nanos[len(nanos)/2], "answer": answer}
	}

	timed("open_cls", listOpen)
	timed("votes_of_open_cls", func() int {
		n := 0
		for _, cl := range open {
			votes, _ := cl.Metas[len(cl.Metas)-1].LabelVotes()
			n += len(votes)
		}
		return n
	})
	timed("subjects_of_open_cls", func() int {
		n := 0
		for _, cl := range open {
			n += len(strings.TrimSpace(cl.Subject()))
		}
		return n
	})
	timed("has_ancestor", func() int {
		n := 0
		for i, b := range branches {
			if b.head.HasAncestor(b.root) {
				n++
			}
			// Of another project, so that all commits are looked at.
			if b.head.HasAncestor(branches[(i+1)%len(branches)].root) {
				n++
			}
		}
		return n
	})
	timed("issues_by_label", func() int {
		n := 0
		corpus.GitHub().ForeachRepo(func(repo *maintner.GitHubRepo) error {
			return repo.ForeachIssue(func(i *maintner.GitHubIssue) error {
				if i.HasLabel("NeedsInvestigation") {
					n++
				}
				return nil
			})
		})
		return n
	})
	timed("comments_of_issues", func() int {
		n := 0
		for i := range int32(samples) {
			issue := repo.Issue(1 + i*last/samples)
			if issue == nil {
				continue
			}
			issue.ForeachComment(func(c *maintner.GitHubComment) error {
				n += len(c.Body)
				return nil
			})
		}
		return n
	})
	timed("cls_by_number", func() int {
		n := 0
		for _, cl := range someCLs {
			n += int(cl.Project.CL(cl.Number).Version)
		}
		return n
	})
	timed("commits_by_hash", func() int {
		n := 0
		for _, hash := range hashes {
			n += len(corpus.GitCommit(hash).Parents)
		}
		return n
	})
	return times, nil
}

func files(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "maintner-*.mutlog"))
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s has no log", dir)
	}
	sort.Strings(names)
	return names, err
}

func measureScan(dir string) error {
	names, err := files(dir)
	if err != nil {
		return err
	}
	records := 0
	start := time.Now()
	for _, name := range names {
		if err := reclog.ForeachFileRecord(name, func(int64, []byte, []byte) error {
			records++
			return nil
		}); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(object{"seconds": time.Since(start).Seconds(), "records": records})
}

func measureAppend(from, to string) error {
	names, err := files(from)
	if err != nil {
		return err
	}
	var mutations []*maintpb.Mutation
	if err := reclog.ForeachFileRecord(names[0], func(_ int64, _, rec []byte) error {
		m := new(maintpb.Mutation)
		mutations = append(mutations, m)
		return proto.Unmarshal(rec, m)
	}); err != nil {
		return err
	}
	logger := maintner.NewDiskMutationLogger(to)
	start := time.Now()
	for _, m := range mutations {
		if err := logger.Log(m); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(object{"seconds": time.Since(start).Seconds(), "records": len(mutations)})
}
