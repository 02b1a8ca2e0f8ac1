"""The app as visitors meet it, over real databases and a real bucket."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest

from . import pictures
from .ground import Ground, Visitor, a_submission, objects_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


def test_a_photo_is_uploaded_listed_shown_and_deleted(ground: Ground) -> None:
    one, other = ground.instance("web-1"), ground.instance("web-2")
    visitor, stranger = one.visitor(), other.visitor()
    stored = visitor.upload(pictures.jpeg(pictures.portrait()), title="Grüße 🦀 <b>you</b>")

    assert stored["width"], stored["height"] == (1200, 1500)
    assert stored["uploaded_by"] == "web-1"
    assert abs(datetime.fromisoformat(stored["uploaded_at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert "Face" in [label["name"] for label in stored["labels"]]
    assert all(label["confidence"] is None for label in stored["labels"]), "a cascade has no percentages"
    assert "local" in stored["labelled_by"]

    assert stranger.gallery() == [stored["id"]]
    page = stranger.get(stored["url"])
    assert page.status_code == 200
    assert "Grüße 🦀 &lt;b&gt;you&lt;/b&gt;" in page.text
    assert "<b>web-2</b>" in page.text
    assert page.headers["X-Instance"] == "web-2"
    for kind in ("view", "thumb"):
        picture = stranger.get(stored[kind])
        assert (picture.status_code, picture.mimetype) == (200, "image/jpeg")
        assert picture.data[:3] == b"\xff\xd8\xff"
    assert objects_of(one.album) == {stored["id"]: 3}

    assert stranger.delete(stored["id"]).json == {"deleted": True}
    assert visitor.gallery() == []
    assert [visitor.get(stored[path]).status_code for path in ("url", "view", "thumb")] == [404, 404, 404]
    assert objects_of(one.album) == {}
    assert visitor.delete(stored["id"]).json == {"deleted": False}


def test_a_browser_is_sent_on_after_each_form_so_that_loading_again_repeats_nothing(ground: Ground) -> None:
    visitor = ground.instance().visitor()
    form = visitor.form()
    file = ("sea.png", pictures.encoded(pictures.sea(), "PNG"))
    answer = visitor.post_form("/photos", {**form, "title": "Sea"}, {"photo": file})
    assert answer.status_code == 303
    photo = answer.headers["Location"]
    assert re.fullmatch(r"/photos/[0-9a-f-]{36}", photo), "a path, whatever host was asked for"
    page = visitor.get(photo).text
    assert "Stored." in page
    assert "Stored." not in visitor.get(photo).text
    answer = visitor.client.post(f"{photo}/delete", data={"csrf_token": form["csrf_token"]})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Deleted." in visitor.get("/").text


def test_the_same_form_sent_twice_is_stored_once_and_a_fresh_form_anew(ground: Ground) -> None:
    one, other = ground.instance("web-1"), ground.instance("web-2")
    visitor, data = one.visitor(), pictures.jpeg(pictures.sea())
    form = visitor.form()
    first = visitor.upload(data, form=form)
    # The browser's cookie goes with it: another instance may get the second.
    again = other.visitor()
    again.client.set_cookie("photos", visitor.client.get_cookie("photos").value)
    answer = again.send(data, form=form)
    assert (answer.status_code, answer.json["id"]) == (200, first["id"])
    # The page that the back button shows has the old number: another file is another photo.
    assert visitor.upload(pictures.jpeg(pictures.night()), form=form)["id"] != first["id"]
    assert visitor.upload(data)["id"] != first["id"]
    assert len(visitor.gallery()) == 3
    assert len(objects_of(one.album)) == 3


def test_the_same_form_sent_many_times_at_once_is_stored_once(ground: Ground) -> None:
    instances = [ground.instance(f"web-{number}") for number in (1, 2, 3, 4)]
    visitor, data = instances[0].visitor(), pictures.jpeg(pictures.sea())
    form, cookie = visitor.form(), visitor.client.get_cookie("photos").value
    answers: list[object] = []

    def send(number: int) -> None:
        client = instances[number % 4].visitor()
        client.client.set_cookie("photos", cookie)
        answer = client.send(data, form=form)
        answers.append((answer.status_code, answer.json["id"]))

    threads = [Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    [id] = visitor.gallery()
    assert sorted(answers) == [(200, id)] * 7 + [(201, id)]  # type: ignore[type-var]
    assert objects_of(instances[0].album) == {id: 3}


def test_the_gallery_is_turned_page_by_page_and_nothing_is_shown_twice(ground: Ground) -> None:
    instance = ground.instance()
    visitor, picture = instance.visitor(), pictures.jpeg(pictures.plain())
    ids = [visitor.upload(picture, title=f"number {number}")["id"] for number in range(50)]
    ids.reverse()

    def links(path: str) -> dict[str, str]:
        text = visitor.get(path).text
        nav = text[text.index('aria-label="Pages"') :]
        return {rel: href.replace("&amp;", "&") for href, rel in re.findall(r'href="([^"]+)" rel="(\w+)"', nav)}

    assert visitor.gallery("/") == ids[:24]
    assert set(links("/")) == {"next"}
    second = links("/")["next"]
    assert visitor.gallery(second) == ids[24:48]
    last = links(second)["next"]
    assert visitor.gallery(last) == ids[48:]
    assert set(links(last)) == {"prev"}
    assert visitor.gallery(links(last)["prev"]) == ids[24:48]
    assert visitor.gallery(links(second)["prev"]) == ids[:24]
    assert set(links(links(second)["prev"])) == {"next"}, "the first page, come back to"
    # One that arrives meanwhile moves nothing.
    new = visitor.upload(picture)["id"]
    assert visitor.gallery(second) == ids[24:48]
    assert visitor.gallery("/")[0] == new
    # From photo to photo.
    page = visitor.get(f"/photos/{ids[0]}").text
    assert f'href="/photos/{new}" rel="prev"' in page
    assert f'href="/photos/{ids[1]}" rel="next"' in page


@pytest.mark.parametrize("query", ["before=x", "before=-1", "before=9999999999999999999999", "after=", "before=%00", "before=1e3", "before=²"])  # fmt: skip
def test_a_page_that_cannot_be_is_no_error(any_ground: Ground, query: str) -> None:
    assert any_ground.instance().visitor().get(f"/?{query}").status_code == 200


def test_labels_lead_to_the_photos_that_have_them(ground: Ground) -> None:
    visitor = ground.instance().visitor()
    blue = visitor.upload(pictures.jpeg(pictures.mountains()))["id"]
    green = visitor.upload(pictures.jpeg(pictures.forest()))["id"]
    assert visitor.gallery("/?label=Mostly+blue") == [blue]
    assert visitor.gallery("/?label=Mostly+green") == [green]
    assert visitor.gallery("/?label=mostly+blue") == [], "labels are told apart by their case, in both databases"
    assert visitor.gallery("/?label=%00%27%22%3Cscript%3E") == []
    assert "<script>" not in visitor.get("/?label=%3Cscript%3E").text.replace('<script src="', "")
    text = visitor.get("/").text
    assert "Mostly blue <i>1</i>" in text


@pytest.mark.parametrize(
    "spoil",
    [
        {"csrf_token": ""},
        {"csrf_token": "x"},
        {"csrf_token": "another visitor's"},
    ],
    ids=lambda fields: str(fields["csrf_token"]),
)
def test_a_form_that_is_not_this_visitors_changes_nothing(any_ground: Ground, spoil: dict[str, str]) -> None:
    instance = any_ground.instance()
    visitor, other = instance.visitor(), instance.visitor()
    stored = visitor.upload(pictures.jpeg(pictures.plain()))
    if spoil["csrf_token"].startswith("another"):
        spoil = {"csrf_token": other.form()["csrf_token"]}
    answer = visitor.send(pictures.jpeg(pictures.sea()), form={**visitor.form(), **spoil})
    assert answer.status_code == 403
    assert visitor.delete(stored["id"], token=spoil["csrf_token"] or " ").status_code == 403
    assert visitor.client.post(f"/photos/{stored['id']}/labels", data=spoil).status_code == 403
    for method in ("PUT", "DELETE", "PATCH"):
        assert visitor.client.open(stored["url"], method=method, data=spoil).status_code == 403
    assert visitor.gallery() == [stored["id"]]


def test_a_token_holds_for_a_day_and_only_with_its_cookie_and_its_secret(any_ground: Ground) -> None:
    from itsdangerous import URLSafeTimedSerializer

    visitor = any_ground.instance().visitor()
    form = visitor.form()
    with visitor.client.session_transaction() as session:
        name = session["visitor"]
    forged = URLSafeTimedSerializer("another secret of that length", salt="photos.form").dumps(name)
    data = pictures.jpeg(pictures.plain())
    assert visitor.send(data, form={**form, "csrf_token": forged}).status_code == 403
    bare = any_ground.instance().visitor()
    assert bare.send(data, form=form).status_code == 403, "without the cookie"
    assert visitor.send(data, form=form).status_code == 201


def test_what_is_served_says_what_a_browser_may_do_with_it(any_ground: Ground) -> None:
    visitor = any_ground.instance().visitor()
    stored = visitor.upload(pictures.jpeg(pictures.plain()))
    page = visitor.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "private, no-cache"
    cookie = visitor.client.get_cookie("photos")
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    for kind in ("view", "thumb"):
        picture = visitor.get(stored[kind])
        assert picture.headers["Content-Type"] == "image/jpeg"
        assert picture.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert picture.headers["Content-Disposition"].startswith('inline; filename="photo-')
        again = visitor.get(stored[kind], If_None_Match=picture.headers["ETag"])
        assert (again.status_code, again.data) == (304, b"")
    for path in ("/", stored["url"], stored["view"], "/health", "/status", "/static/style.css", "/nothing"):
        assert visitor.get(path).headers["X-Content-Type-Options"] == "nosniff"
    assert visitor.get(f"/photos/{stored['id']}/original").status_code == 404, "what was uploaded is never served"


@pytest.mark.parametrize(
    "path",
    ["/photos/1", "/photos/..%2f..%2fetc%2fpasswd", "/photos/00000000-0000-0000-0000-000000000000", "/photos/%00",
     "/photos/00000000-0000-0000-0000-000000000000/view.jpg", "/photos/00000000-0000-0000-0000-000000000000/../../x.jpg",
     "/static/../settings.py", "/static/..%2fsettings.py", "/static/%2e%2e/settings.py"],
)  # fmt: skip
def test_a_path_that_names_nothing_is_404(any_ground: Ground, path: str) -> None:
    answer = any_ground.instance().visitor().get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


def test_the_name_and_the_type_that_a_browser_sends_decide_nothing(any_ground: Ground) -> None:
    instance = any_ground.instance()
    visitor, data = instance.visitor(), pictures.jpeg(pictures.plain())
    for name in ("../../etc/passwd", "x.html", "C:\\evil.exe", "a\0b.jpg", "é" * 300, "<script>.svg", "."):
        stored = visitor.upload(data, name=name)
        assert visitor.get(stored["view"]).mimetype == "image/jpeg"
    assert {key for key, _ in instance.album.bucket.ids()} == set(visitor.gallery())


@pytest.mark.parametrize(
    ("title", "kept"),
    [("  two   words\r\n", "two words"), ("a\0b\x1b[31m\u202e", "a b [31m"), ("é" * 300, "é" * 200), ("{{7*7}}%s'\";--", "{{7*7}}%s'\";--"),
     ("\U0001f469\u200d\U0001f52c می\u200cخواهم", "\U0001f469\u200d\U0001f52c می\u200cخواهم")],
)  # fmt: skip
def test_a_title_is_one_line_of_text(ground: Ground, title: str, kept: str) -> None:
    assert ground.instance().visitor().upload(pictures.jpeg(pictures.plain()), title=title)["title"] == kept


def test_labels_are_found_again_when_asked_for(ground: Ground) -> None:
    instance = ground.instance()
    visitor = instance.visitor()
    stored = visitor.upload(pictures.jpeg(pictures.forest()))
    assert instance.album.catalogue.relabel(stored["id"], (), "")
    assert "the detector did not answer" in visitor.get(stored["url"]).text
    token = visitor.form()["csrf_token"]
    answer = visitor.client.post(f"{stored['url']}/labels", data={"csrf_token": token})
    assert answer.status_code == 303
    assert ">Mostly green</a>" in visitor.get(stored["url"]).text
    unknown = visitor.client.post(f"/photos/{'0' * 8}-0000-0000-0000-{'0' * 12}/labels", data={"csrf_token": token})
    assert unknown.status_code == 404


def test_a_photo_deleted_by_two_at_once_is_deleted_once(ground: Ground) -> None:
    one, other = ground.instance("web-1").visitor(), ground.instance("web-2").visitor()
    found: list[bool] = []

    def delete(who: Visitor, id: str) -> None:
        found.append(who.delete(id).json["deleted"])

    for _ in range(5):
        stored, found[:] = one.upload(pictures.jpeg(pictures.plain())), []
        threads = [Thread(target=delete, args=(who, stored["id"])) for who in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(found) == [False, True]


def test_a_form_that_lacks_something_says_what(any_ground: Ground) -> None:
    visitor = any_ground.instance().visitor()
    form = visitor.form()
    bare = visitor.client.post("/photos", data=form)
    assert bare.status_code == 400
    assert "No picture came" in bare.text
    for submission in ("", "x" * 32, "../" + "0" * 29, "0" * 33):
        answer = visitor.send(pictures.jpeg(pictures.plain()), form={**form, "submission": submission})
        assert answer.status_code == 400
    assert visitor.send(pictures.jpeg(pictures.plain()), form={**form, "submission": a_submission()}).status_code == 201


def test_pictures_come_from_a_bucket_that_browsers_reach_by_links_that_expire(any_ground: Ground) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    public = any_ground.bucket_server
    instance = any_ground.instance(PHOTOS_PUBLIC_ENDPOINT=f"{public}/")
    visitor = instance.visitor()
    stored = visitor.upload(pictures.jpeg(pictures.sea()))
    assert f"img-src 'self' {public};" in visitor.get("/").headers["Content-Security-Policy"]
    answer = visitor.get(stored["view"])
    assert answer.status_code == 302
    link = answer.headers["Location"]
    assert link.startswith(f"{public}/photos/{stored['id']}/view.jpg?")
    assert "X-Amz-Expires=600" in link
    with urlopen(link, timeout=10) as response:
        assert response.headers["Content-Type"] == "image/jpeg"
        assert response.read(3) == b"\xff\xd8\xff"
    for wrong in (link.split("?")[0], link.replace("view.jpg", "original"), link[:-4] + "0000"):
        with pytest.raises(HTTPError, match="40"):
            urlopen(wrong, timeout=10)
    visitor.delete(stored["id"])
    assert visitor.get(stored["view"]).status_code == 404


def test_health_is_the_instances_own_and_status_tells_of_the_rest(ground: Ground) -> None:
    visitor = ground.instance().visitor()
    assert visitor.get("/status").json["database"] == "answers"
    ground.database.cut()
    ground.bucket.cut()
    visitor = ground.instance("web-7").visitor()
    assert (visitor.get("/health").status_code, visitor.get("/health").text) == (200, "ok\n")
    status = visitor.get("/status")
    assert status.status_code == 503
    assert (status.json["database"], status.json["bucket"], status.json["instance"]) == ("does not answer", "does not answer", "web-7")  # fmt: skip
