"""The checks of the deployed function: its configuration, who calls it, what its role may do, and how often it can run at once."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from lambdazoom.operations import buckets, policy
from lambdazoom.operations.aws import asking, found
from lambdazoom.operations.checks_buckets import Findings, Site
from lambdazoom.operations.checks_here import missing_permissions
from lambdazoom.operations.findings import ok, problem, warning
from lambdazoom.operations.init import EVENTS
from lambdazoom.operations.remote_zip import names_in
from lambdazoom.operations.stage import Stage

PARTS = {
    "exiftool": "build/lambda/exiftool",
    "its modules": "build/lambda/image-exiftool/exiftool",
    "perl": "build/lambda/perl/bin/perl",
    "the viewer": "static/vendor/openseadragon/openseadragon.min.js",
    "the application": "app.py",
}
"""What the deployed zip must hold, as `prepare` builds it and Zappa packs it."""

AT_ONCE = 200  # uploads in one go, as people do
FEW = 5  # statements for S3: a deployment makes two, and each update leaves another; AWS takes some sixty

STRANGERS = (
    ("s3:GetObject", "arn:aws:s3:::somebody-elses-bucket/key", "read any bucket"),
    ("s3:PutObject", "arn:aws:s3:::somebody-elses-bucket/key", "write to any bucket"),
    ("s3:DeleteObject", "arn:aws:s3:::somebody-elses-bucket/key", "delete from any bucket"),
    ("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:1:function:somebody-elses", "call any function"),
    ("sqs:SendMessage", "arn:aws:sqs:us-east-1:1:somebody-elses", "write to any queue"),
    ("sns:Publish", "arn:aws:sns:us-east-1:1:somebody-elses", "write to any topic"),
    ("dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:1:table/somebody-elses", "write to any table"),
    ("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/SOMEBODYELSES", "change any DNS zone"),
    ("iam:PassRole", "arn:aws:iam::1:role/somebody-elses", "pass any role"),
)


def deployed(site: Site) -> dict[str, Any] | None:
    """The function's configuration, None if it is not deployed."""
    client = site.aws.client("lambda")
    answer: dict[str, Any] | None = found(
        client.get_function_configuration, ("ResourceNotFoundException",), FunctionName=site.stage.function_name
    )
    return answer


def configuration(site: Site) -> Findings:
    """The function is deployed as zappa_settings.json has it."""
    stage, function = site.stage, site.function or {}
    update = f"Run `zappa update {stage.name}`."
    wanted = _wanted(stage)
    differing = [f"{name} is {_held(function, name)}, not {value}" for name, value in wanted.items() if _held(function, name) != value]
    held = function.get("Environment", {}).get("Variables", {})
    names = {name for name in (*held, *stage.environment) if name.startswith("LAMBDAZOOM_")}
    differing += [f"{name} differs" for name in sorted(names) if held.get(name) != stage.environment.get(name)]
    if differing:
        yield problem(f"The function is not as {stage.path.name} has it: {'; '.join(differing)}.", update)
    else:
        yield ok(f"The function {stage.function_name} is deployed as {stage.path.name} has it.")


def _wanted(stage: Stage) -> dict[str, object]:
    values = stage.values
    wanted = {"memory_size": 512, "timeout_seconds": 30, "runtime": None}  # Zappa's own defaults
    settings: dict[str, object] = {name: values.get(name, default) for name, default in wanted.items()}
    settings["ephemeral_storage"] = values.get("ephemeral_storage", {}).get("Size", 512)
    return {name: value for name, value in settings.items() if value is not None}


def _held(function: Mapping[str, Any], name: str) -> object:
    if name == "ephemeral_storage":
        return function.get("EphemeralStorage", {}).get("Size", 512)
    return function.get({"memory_size": "MemorySize", "timeout_seconds": "Timeout", "runtime": "Runtime"}[name])


def code(site: Site) -> Findings:
    """The zip that is deployed holds what the function runs on beside Python."""
    answer = found(site.aws.client("lambda").get_function, (), FunctionName=site.stage.function_name)
    names = names_in(answer["Code"]["Location"])
    missing = [what for what, name in PARTS.items() if name not in names]
    if missing:
        what = f"The zip of {site.stage.function_name} lacks {', '.join(missing)}"
        yield problem(f"{what}.", f"Run `zappa update {site.stage.name}` in the folder of LambdaZoom; its prebuild_script makes them.")
    else:
        yield ok(f"The function's zip holds {', '.join(PARTS)}.")


def notification(site: Site) -> Findings:
    """The source bucket tells the function of every event that it has to know."""
    source, function = site.stage.buckets["source"], site.stage.function_name
    listeners = buckets.notifications_of(site.s3, source.name)
    ours = [each for each in listeners if _is_of(each.destination, site)]
    others = [each for each in listeners if each not in ours]
    schedule = f"Run `zappa schedule {site.stage.name}`, then doctor again: Zappa reports success either way."
    missing = [event for event in EVENTS if not any(_tells(each, event, source.path) for each in ours)]
    blocking = [each for each in others if each.meets(tuple(missing))]
    if blocking:
        named = ", ".join(each.destination for each in blocking)
        what = f"{source.name} tells {named} and so can't tell {function}: S3 takes one listener for an event"
        yield problem(f"{what}.", "Move the other to an SNS topic or EventBridge, then run `zappa schedule`.")
    elif missing:
        yield problem(f"{source.name} does not tell {function} of {', '.join(missing)}: such uploads wait for the schedule.", schedule)
    else:
        yield ok(f"{source.name} tells {function} of created, removed and expired objects.")
    for each in others:
        if each not in blocking:
            yield ok(f"{source.name} also tells {each.destination} of {', '.join(each.events)}; that is left alone.")


def _is_of(arn: str, site: Site) -> bool:
    parts = arn.split(":")
    return parts[2] == "lambda" and len(parts) > 6 and parts[6] == site.stage.function_name


def _tells(listener: buckets.Notification, event: str, path: str) -> bool:
    return listener.covers(event) and path.startswith(listener.prefix) and not listener.suffix


def callers(site: Site, fix: bool) -> Findings:
    """S3 may call the function, and Zappa's statements for that have not piled up; `fix` removes all but one."""
    client, source = site.aws.client("lambda"), site.stage.buckets["source"]
    arn = policy.bucket_arn(source, site.aws.region)
    answer = found(client.get_policy, ("ResourceNotFoundException",), FunctionName=site.stage.function_name)
    statements = policy.statements_of(json.loads(answer["Policy"])) if answer else []
    ours = [each for each in statements if _lets_bucket_call(each, arn)]
    if not ours:
        yield problem(f"S3 may not call {site.stage.function_name} for {source.name}.", f"Run `zappa schedule {site.stage.name}`.")
        return
    left = _leftovers(ours)
    what = f"{len(ours)} permission statements let {source.name} call the function; one is enough"
    if fix and left:
        for each in left:
            found(client.remove_permission, (), FunctionName=site.stage.function_name, StatementId=each["Sid"])
        yield ok(f"{what}: {len(left)} removed.")
    elif len(ours) > FEW:
        yield warning(f"{what}, and AWS takes 20 KB of them.", "Run `python -m lambdazoom doctor --fix`.")
    else:
        yield ok(f"S3 may call the function for {source.name} ({len(ours)} statement{'s say' if len(ours) > 1 else ' says'} so).")


def _lets_bucket_call(statement: Mapping[str, Any], arn: str) -> bool:
    principal = statement.get("Principal")
    service = principal.get("Service") if isinstance(principal, Mapping) else principal
    conditions = statement.get("Condition", {}).values()
    return service == "s3.amazonaws.com" and any(value == arn for each in conditions for value in each.values())


def _leftovers(ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All but one: the last that also names the account, for a bucket's name may pass to somebody else."""
    with_account = [each for each in ours if "SourceAccount" in json.dumps(each.get("Condition", {}))]
    kept = (with_account or ours)[-1]
    return [each for each in ours if each is not kept]


def role(site: Site) -> Findings:
    """The function's role allows what it needs, and not what is nobody's business."""
    name = str((site.function or {}).get("Role", "")).rsplit("/", 1)[-1]
    held = {"Statement": list(_statements_of_role(site.aws.client("iam"), name))}
    missing = missing_permissions(site.stage, held, site.aws.account)
    update = f"Run `python -m lambdazoom init`, then `zappa update {site.stage.name}`."
    if missing:
        yield problem(f"The role {name} lacks {', '.join(missing)}.", update)
    else:
        yield ok(f"The role {name} allows what the function needs.")
    wide = [words for action, resource, words in STRANGERS if policy.allows(held, action, resource)]
    if wide:
        yield warning(f"The role {name} is too wide: it may {', '.join(wide)}.", f"Set attach_policy. {update}")


def _statements_of_role(iam: Any, name: str) -> Iterable[policy.Document]:
    with asking():
        for inline in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            yield from policy.statements_of(iam.get_role_policy(RoleName=name, PolicyName=inline)["PolicyDocument"])
        for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            arn = attached["PolicyArn"]
            version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
            yield from policy.statements_of(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])


def schedule(site: Site) -> Findings:
    """The clock calls the function for each scheduled function of zappa_settings.json."""
    events = site.aws.client("events")
    arn = str((site.function or {}).get("FunctionArn", ""))
    rules = found(events.list_rule_names_by_target, ("ResourceNotFoundException",), TargetArn=arn) or {}
    for wanted in site.stage.schedules:
        mine = [name for name in rules.get("RuleNames", ()) if name.endswith(wanted)]  # Zappa finds the function by the rule's name
        states = [found(events.describe_rule, (), Name=name).get("State") for name in mine]
        again = f"Run `zappa schedule {site.stage.name}`."
        if "ENABLED" in states:
            yield ok(f"The clock calls {wanted}.")
        else:
            yield problem(f"No enabled rule of EventBridge calls {wanted}.", again)


def concurrency(site: Site) -> Findings:
    """How many images are worked on at once."""
    client = site.aws.client("lambda")
    limits = found(client.get_account_settings, ())["AccountLimit"]
    reserved = found(client.get_function_concurrency, (), FunctionName=site.stage.function_name).get("ReservedConcurrentExecutions")
    yield from at_once(int(limits["UnreservedConcurrentExecutions"]), reserved)


def at_once(unreserved: int, reserved: int | None) -> Findings:
    """What the limit means for many uploads: Lambda keeps the others waiting, and drops what has waited six hours."""
    limit = unreserved if reserved is None else reserved
    if limit >= AT_ONCE:
        yield ok(f"{limit:,} images can be worked on at once.")
        return
    what = f"{limit} functions run at once: of {AT_ONCE} uploads {AT_ONCE - limit} wait their turn, and pages wait with them"
    way_out = "Ask AWS to raise the quota 'Concurrent executions'." if reserved is None else "Raise lambda_concurrency."
    yield warning(f"{what}. Nothing is lost: what waits over six hours is caught up with by the schedule.", way_out)
