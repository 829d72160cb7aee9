"""Documents of the `workflow` connector: actions on the work item itself."""

from __future__ import annotations

from integrations.documents.fields import Fields
from integrations.documents.grammar import Destination
from integrations.documents.model import WorkflowCall
from integrations.documents.schema import INPUT_SCHEMA, filled_text
from integrations.documents.templates import Place
from threada_site.kernel.documents.structure import closed_object


class WorkflowGrammar:
    schema = closed_object(
        {
            "connector": {"type": "string", "description": "Kind of the external system."},
            "actions": closed_object(
                {
                    "request_approval": closed_object(
                        {
                            "question": filled_text(
                                "Question to the approvers; can contain ${ … }.",
                                examples=["May we pay ${item.payload.vendor}?"],
                            ),
                            "approvals": {
                                "type": "object",
                                "description": "Approval rule, as in policies (`approvals`). Default: one approver "
                                "with the scope decisions:decide.",
                                "examples": [{"role": "finance", "count": 2}],
                            },
                            "input_schema": INPUT_SCHEMA,
                        },
                        description="Ask for an approval of the work item.",
                    ),
                    "assign": closed_object(
                        {
                            "to": filled_text("Name of the assignee, one ${ … }.", examples=["${input.to}"]),
                            "input_schema": INPUT_SCHEMA,
                        },
                        required=("to",),
                        description="Assign the work item.",
                    ),
                    "close": closed_object({"input_schema": INPUT_SCHEMA}, description="Resolve the work item."),
                },
                minProperties=1,
                description="Actions on the work item.",
                errorMessage="Name at least one action.",
            ),
        },
        required=("connector", "actions"),
        description="Actions on the work item itself.",
    )

    def read_spec(self, spec: Fields) -> Destination:
        return Destination()

    def read_call(self, slug: str, action: Fields, destination: Destination) -> WorkflowCall | None:
        match slug:
            case "request_approval":
                question = action.template("question", Place.TEXT) if "question" in action else None
                return WorkflowCall("request_approval", question=question, approvals=action.value("approvals"))
            case "assign":
                return WorkflowCall("assign", to=action.template("to"))
            case "close":
                return WorkflowCall("close")
        return None
