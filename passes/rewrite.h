// Rebuilding a graph node by node: how every rewrite pass is made.
//
// In: a graph and a rule. Out: the graph with the rule applied until it applies nowhere, or the very input when it
// never applied. Operands are rewritten before their users, so a rule sees operands in their final form.
#ifndef SINTER_PASSES_REWRITE_H
#define SINTER_PASSES_REWRITE_H

#include "ir/graph.h"

typedef struct Rewrite Rewrite;

// An equal node in place of `node` (of rewrite->graph), or NODE_NONE where the rule does not apply. It may return an
// old node or build a new one; whatever it builds below its result goes through rewrite_node.
typedef NodeId (*RewriteRule)(Rewrite *rewrite, NodeId node);

struct Rewrite {
    Graph *graph;  // being built
    NodeId source;  // the node of the input graph that is being rewritten
    RewriteRule rule;
    void *context;  // the pass's own
    bool changed;
};

Graph *rewrite_graph(const Graph *graph, Arena *arena, RewriteRule rule, void *context);
// Applies the rule to a node of rewrite->graph until it no longer applies.
NodeId rewrite_node(Rewrite *rewrite, NodeId node);
// build_rename that leaves no rename of a rename: from a->b and b->c it makes a->c, and from a->b and b->a nothing.
NodeId rewrite_rename(Graph *graph, NodeId node, DimId from, DimId to);

#endif
